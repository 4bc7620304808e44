"""Precision, recall, density, coverage and nearest images: by hand, against loops, and on models that are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import genzoo
from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import Dataset, Generator, LatentGenerator, RunView
from genzoo.options import NoOptions
from genzoo.testing.reference import reference_parts
from genzoo.types import Capability, ImageSpec, LatentSpec, Split
from genzoo_metrics.neighbours import density_coverage, held, nearest, precision_recall, radii
from genzoo_metrics.options import PrecisionRecallOptions
from genzoo_metrics.precision_recall import PrecisionRecall


def line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


def test_by_hand_on_a_line() -> None:
    """Balls of k = 1 around 0, 1, 4, 10 reach 1, 1, 3 and 6; those around 0.5, 0.6, 20 reach 0.1, 0.1 and 19.4."""
    real, made = line(0, 1, 4, 10), line(0.5, 0.6, 20)
    assert radii(real, 1).tolist() == pytest.approx([1, 1, 3, 6])
    assert radii(made, 1).tolist() == pytest.approx([0.1, 0.1, 19.4])
    # 0.5 and 0.6 are in balls, 20 in none; of the real ones, 1, 4 and 10 are within 19.4 of 20, and 0 is not.
    assert precision_recall(real, made, 1) == pytest.approx((2 / 3, 3 / 4))
    # 0.5 and 0.6 lie in the balls of 0 and of 1 only, since that of 4 begins at 1: four hits of three samples.
    assert density_coverage(real, made, 1) == pytest.approx((4 / 3, 2 / 4))


def test_a_point_on_the_edge_of_a_ball_is_held() -> None:
    counts, filled = held(line(1, 1.0001), line(0), torch.tensor([1.0], dtype=torch.float64))
    assert counts.tolist() == [1, 0]
    assert filled.tolist() == [True]


def test_against_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(40, 3, generator=draw, dtype=torch.float64)
    made = 0.7 * torch.randn(30, 3, generator=draw, dtype=torch.float64) + 0.3

    def reach(points: Tensor, k: int) -> list[float]:
        return [sorted(float((a - b).norm()) for b in points)[k] for a in points]

    for k in (1, 3, 5):
        balls, own = reach(real, k), reach(made, k)
        inside = [[float((y - x).norm()) <= r for x, r in zip(real, balls, strict=True)] for y in made]
        back = [any(float((y - x).norm()) <= r for y, r in zip(made, own, strict=True)) for x in real]
        assert precision_recall(real, made, k) == pytest.approx((sum(map(any, inside)) / 30, sum(back) / 40))
        hits = [any(row[i] for row in inside) for i in range(40)]
        assert density_coverage(real, made, k) == pytest.approx((sum(map(sum, inside)) / (k * 30), sum(hits) / 40))


def test_two_sets_of_one_distribution_have_density_one_and_the_known_coverage() -> None:
    """Coverage is 1 − (N−1)…(N−k) / ((2N−1)…(2N−k)) then (Naeem et al. 2020, equation 9)."""
    draw = torch.Generator().manual_seed(1)
    found = [
        density_coverage(torch.rand(200, 2, generator=draw), torch.rand(200, 2, generator=draw), 5) for _ in range(40)
    ]
    missed = 1.0
    for step in range(1, 6):
        missed *= (200 - step) / (400 - step)
    density, coverage = torch.tensor(found).mean(0).tolist()
    assert density == pytest.approx(1, abs=0.02)
    assert coverage == pytest.approx(1 - missed, abs=0.01)


def test_parts_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(2)
    real, made = torch.randn(50, 4, generator=draw), torch.randn(33, 4, generator=draw)
    whole = precision_recall(real, made), density_coverage(real, made), radii(real, 3)
    monkeypatch.setattr("genzoo_metrics.neighbours._ENTRIES", 170)
    assert whole[:2] == (precision_recall(real, made), density_coverage(real, made))
    assert torch.allclose(whole[2], radii(real, 3))


def test_the_nearest_of_a_copy_is_itself_at_distance_zero() -> None:
    others = 100 + torch.rand(70, 30, generator=torch.Generator().manual_seed(3))
    distance, number = nearest(others[[5, 64]], others.split(20))
    assert distance.tolist() == [0, 0]
    assert number.tolist() == [5, 64]
    distance, number = nearest(others[[5]] + 0.01, others.split(20))
    assert float(distance) == pytest.approx(0.01 * 30**0.5, rel=1e-3)
    assert number.tolist() == [5]


SPEC = ImageSpec((1, 8, 8), classes=3)


class Bands(Dataset):
    """A bright band whose place is the class, at its own height in each image, with noise."""

    def __init__(self) -> None:
        super().__init__(NoOptions())

    @property
    def spec(self) -> ImageSpec:
        return SPEC

    def split(self, name: str) -> Split:
        draw = torch.Generator().manual_seed(len(name))
        labels = torch.arange(240) % 3
        images = torch.full((240, 1, 8, 8), 0.1)
        shade = 0.6 + 0.3 * torch.rand(240, 1, generator=draw)
        for row in range(2):
            images[torch.arange(240), 0, 2 * labels + row] = shade
        return Split(images + 0.1 * torch.rand(images.shape, generator=draw), labels)


class Fixed(LatentGenerator):
    """Gives images from a list, whatever the latents; without labels."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})

    def __init__(self, images: Tensor) -> None:
        super().__init__(NoOptions(), reference_parts(SPEC))
        self.levels = (LatentSpec((1,)),)
        self.prior = reference_parts(SPEC).prior(self.levels[0])
        self.images = images

    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        rank = (latents[0][:, 0] * 1e4).long() % len(self.images)
        return self.images[rank]


def numbers(images: Tensor, count: int = 240) -> dict[str, float]:
    own = {"judge_images": 2048, "judge_accuracy": 0.0, "images": count, "nearest": 100}
    data = Bands()
    model: Generator = Fixed(images).eval()
    view = RunView("fixed", model, data, {name: data.split(name) for name in data.splits})  # type: ignore[arg-type]
    with torch.no_grad():
        return dict(PrecisionRecall(PrecisionRecallOptions.model_validate(own)).evaluate(view))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))


def test_new_images_of_the_data_are_precise_complete_and_no_copies() -> None:
    split = Bands().split("another")
    found = numbers(split.images)
    assert found["precision"] > 0.8
    assert found["recall"] > 0.8
    assert found["classes-covered"] == 3
    assert 0.9 < found["nearest-ratio"] < 1.1
    assert found["real-precision"] > 0.8


def test_copies_of_training_images_are_seen() -> None:
    assert numbers(Bands().split("train").images)["nearest-ratio"] < 1e-6


def test_one_class_is_precise_and_not_complete() -> None:
    split = Bands().split("another")
    found = numbers(split.images[split.labels == 1])
    assert found["precision"] > 0.8
    assert found["recall"] < 0.5
    assert found["coverage"] < 0.5
    assert found["classes-covered"] == 1


def test_noise_is_neither() -> None:
    found = numbers(torch.rand(240, 1, 8, 8, generator=torch.Generator().manual_seed(5)))
    assert found["precision"] < 0.2
    assert found["density"] < 0.2
    assert found["nearest-ratio"] > 2


def test_too_few_images_are_refused_with_the_number_needed() -> None:
    with pytest.raises(UsageError, match="must be at least 6, one more than neighbours, got 4"):
        numbers(Bands().split("another").images, count=4)


def test_metrics_of_samples_take_a_gan_and_those_of_an_encoder_refuse_it(tmp_path: Path) -> None:
    quick = {"data": "digits", "network": "mlp", "epochs": 1, "limit": 64, "progress": False, "out": tmp_path}
    judge = {"judge_images": 1024, "judge_accuracy": 0.0}
    run = genzoo.run(
        ("gan", {"conditional": True, "latent_dim": 3}),
        metrics={
            "precision-recall": ("precision-recall", {**judge, "images": 64, "nearest": 10}),
            "judge-frechet": ("judge-frechet", {**judge, "images": 64}),
            "class-accuracy": ("class-accuracy", {**judge, "per_class": 5}),
        },
        **quick,
    )
    kept = run.folder.record()["metrics"]
    assert {"precision-recall", "judge-frechet", "class-accuracy"} <= set(kept)
    assert "decoder means" not in str(kept["precision-recall"])
    with pytest.raises((IncompatibleError, UsageError), match=r"elbo.*a model that encodes and decodes"):
        genzoo.run("gan", metrics="elbo", **quick)
