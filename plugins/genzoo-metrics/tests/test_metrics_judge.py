"""The judge, and class-accuracy on conditional models whose accuracy is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from genzoo.distributions import StandardNormal
from genzoo.errors import GenzooError, UsageError
from genzoo.interfaces import Dataset, Likelihood, Model, Parts, Prior, RunView
from genzoo.options import NoOptions
from genzoo.parts import judge
from genzoo.parts.judge import Judge, JudgeSettings, judge_of
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, LatentSpec, Split
from genzoo_metrics.class_accuracy import ClassAccuracy, mean_distance
from genzoo_metrics.options import ClassAccuracyOptions

SPEC = ImageSpec((1, 8, 8), classes=3)
QUICK = JudgeSettings(images=4096)


def patterns(label: Tensor) -> Tensor:
    """A bright band whose place is the class."""
    images = torch.full((len(label), 1, 8, 8), 0.1)
    for row in range(2):
        images[torch.arange(len(label)), 0, 2 * label + row] = 0.9
    return images


class Bands(Dataset):
    def __init__(self, labelled: bool = True, count: int = 400) -> None:
        super().__init__(NoOptions())
        self.labelled = labelled
        self.count = count

    @property
    def spec(self) -> ImageSpec:
        return SPEC if self.labelled else ImageSpec((1, 8, 8))

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        labels = torch.arange(self.count) % 3
        noise = torch.rand(self.count, 1, 8, 8, generator=generator) * 0.1
        return Split(patterns(labels) + noise, labels if self.labelled else None)


class Pixels(Likelihood):
    def distribution(self, raw: Tensor) -> Distribution:
        return Independent(Bernoulli(probs=raw, validate_args=False), 3, validate_args=False)


class Brightness(Prior):
    def forward(self, *, label: Tensor | None = None, encode: object = None) -> Distribution:
        return StandardNormal((1,))


class Painter(Model):
    """Paints the band of the class that ``drawn`` says for the class asked for; z is its brightness."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.CONDITIONAL})

    def __init__(self, drawn: Sequence[int]) -> None:
        spec = LatentSpec((1,))
        prior = Brightness(NoOptions(), spec, SPEC)
        super().__init__(NoOptions(), Parts(SPEC, None, Pixels(NoOptions()), lambda latent: prior))  # type: ignore[arg-type]
        self.levels = (spec,)
        self.prior = prior
        self.drawn = torch.tensor(drawn)

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        raise NotImplementedError

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        assert label is not None
        shade = 0.05 * latents[0].tanh()[..., None, None]
        return self.likelihood((patterns(self.drawn[label]) + shade).clamp(0, 1))


def view(drawn: Sequence[int], dataset: Dataset | None = None) -> RunView:
    dataset = dataset or Bands()
    return RunView("painter", Painter(drawn).eval(), dataset, {"test": dataset.split("test")})


def metric(**options: object) -> ClassAccuracy:
    return ClassAccuracy(ClassAccuracyOptions.model_validate({"per_class": 20, "judge_images": 4096, **options}))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    return tmp_path / "judges"


def test_accuracy_a_class_and_the_worst_one() -> None:
    numbers = metric().evaluate(view([0, 1, 1]))
    assert numbers["judge"] >= 0.99
    assert numbers["judge-held-out"] >= numbers["judge-least"]
    assert [numbers[f"class-{label}"] for label in range(3)] == [1, 1, 0]
    assert numbers[""] == pytest.approx(2 / 3)
    assert (numbers["worst"], numbers["worst-class"]) == (0, 2)
    assert numbers["samples-class-2"] < 0.5 < numbers["samples-class-0"]
    assert numbers["samples"] == pytest.approx(sum(numbers[f"samples-class-{label}"] for label in range(3)) / 3)
    assert metric().evaluate(view([0, 1, 2]))[""] == 1


def test_diversity_is_the_distance_within_a_class() -> None:
    numbers = metric().evaluate(view([0, 1, 2]))
    assert 0 < numbers["diversity"] < 1
    still = view([0, 1, 2])
    still.model.prior.forward = lambda **_: Still()  # type: ignore[method-assign]
    assert metric().evaluate(still)["diversity"] == pytest.approx(0, abs=1e-3)
    # Uniform noise of width 0.1 in 64 pixels: √(64 · 0.1² / 6) on average, to a few per cent.
    assert numbers["diversity-real"] == pytest.approx((64 * 0.01 / 6) ** 0.5, rel=0.05)


class Still(StandardNormal):
    """Always zero."""

    def __init__(self) -> None:
        super().__init__((1,))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return torch.zeros(*sample_shape, 1)


def test_mean_distance_by_hand() -> None:
    images = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]).reshape(3, 1, 1, 2)
    assert mean_distance(images) == pytest.approx((5 + 0 + 5) / 3)


class Noisy(Bands):
    """Bands under so much noise that classifiers err; ``mislabelled`` wrongs the labels of one split."""

    def __init__(self, noise: float, mislabelled: str = "") -> None:
        super().__init__()
        self.noise, self.mislabelled = noise, mislabelled

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        labels = torch.arange(1200) % 3
        noise = torch.randn(1200, 1, 8, 8, generator=generator) * self.noise
        wrong = (labels + 1) % 3 if name == self.mislabelled else labels
        return Split((patterns(labels) + noise).clamp(0, 1), wrong)


class Declared(Bands):
    judge_accuracy = 0.995


class Imbalanced(Bands):
    """Sorted by class: 300, 90 and 10 images."""

    def split(self, name: str) -> Split:
        labels = torch.tensor([0] * 300 + [1] * 90 + [2] * 10)
        noise = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(len(name))) * 0.1
        return Split(patterns(labels) + noise, labels)


def test_a_poor_judge_gives_no_result() -> None:
    with pytest.raises(GenzooError, match=r"held-out training images must be at least 100\.00%, got [\d.]+%") as caught:
        metric(judge_images=1).evaluate(view([0, 1, 2]))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("asked", [0.0, 0.9])
def test_what_the_caller_asks_for_overrules_the_data_set(asked: float) -> None:
    made, _ = judge_of(Declared(), JudgeSettings(images=4096, least_accuracy=asked))
    assert made.gate is not None
    assert made.gate.least == asked


def test_the_data_set_may_declare_what_its_judge_must_have() -> None:
    made, _ = judge_of(Declared(), QUICK)
    assert made.gate is not None
    assert made.gate.least == 0.995
    with pytest.raises(GenzooError, match=r"at least 99\.50%"):
        judge_of(Declared(), JudgeSettings(images=1))


@pytest.mark.parametrize("noise", [0.9, 1.4])
def test_the_gate_follows_how_hard_the_data_are(noise: float) -> None:
    with pytest.raises(GenzooError, match="is void"):
        judge_of(Noisy(noise), JudgeSettings(images=1))
    made, _ = judge_of(Noisy(noise), JudgeSettings(images=1, least_accuracy=0.0))
    assert made.gate is not None
    # Where the nearest class mean errs, a judge may err too, and 99 % would be out of reach of any.
    assert 0.5 < made.gate.class_mean < 0.99
    asked = JudgeSettings(images=4096, least_accuracy=1 - judge.ERROR_RATIO * (1 - made.gate.class_mean))
    with pytest.raises(GenzooError, match=f"at least {asked.least_accuracy:.2%}"):
        judge_of(Noisy(noise), JudgeSettings(images=1))


def test_the_gate_is_not_decided_by_test_images() -> None:
    made, accuracy = judge_of(Noisy(0.1, mislabelled="test"), QUICK)
    assert accuracy == 0
    assert made.gate is not None
    assert made.gate.accuracy == 1


@pytest.mark.parametrize(("dataset", "classes"), [(Bands(), [22, 22, 22]), (Imbalanced(), [49, 15, 2])])
def test_images_are_held_out_in_every_class_and_not_trained_on(
    dataset: Dataset, classes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(judge, "random_shift", lambda image, by: seen.append(image) or image)
    made, _ = judge_of(dataset, JudgeSettings(images=4096, least_accuracy=0.0))
    whole = dataset.split("train")
    assert whole.labels is not None
    trained = torch.cat(seen).flatten(1).unique(dim=0)
    away = [not (image.flatten() == trained).all(1).any() for image in whole.batch().image]
    assert torch.bincount(whole.labels[torch.tensor(away)], minlength=3).tolist() == classes
    assert made.gate is not None
    assert made.gate.images == sum(classes)


def test_another_seed_holds_out_other_images_and_another_number_is_another_judge(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_WORTH_KEEPING", 0)
    for settings in (QUICK, JudgeSettings(images=4096, holdout=30), JudgeSettings(images=4096, seed=1)):
        judge_of(Bands(), settings)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_images_to_hold_any_out_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"at least six, so that some can be held out, got {count}"):
        judge_of(Bands(count=count), QUICK)


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="must have labels"):
        judge_of(Bands(labelled=False), QUICK)


def test_same_seed_same_judge_and_the_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    first, _ = judge_of(Bands(), QUICK)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(1)
    second, _ = judge_of(Bands(), QUICK)
    other, _ = judge_of(Bands(), JudgeSettings(images=4096, seed=1))
    image = Bands().split("test").batch().image
    assert torch.equal(first(image), second(image))
    assert not torch.equal(first(image), other(image))
    assert first.features(image).shape == (400, judge.FEATURES)


def test_judge_is_kept_and_read_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_WORTH_KEEPING", 0)
    image = Bands().split("test").batch().image
    trained, _ = judge_of(Bands(), QUICK)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    monkeypatch.setattr(judge, "_train", lambda *args: pytest.fail("trained again"))
    kept, accuracy = judge_of(Bands(), QUICK)
    assert torch.equal(kept(image), trained(image))
    assert accuracy == 1
    monkeypatch.undo()
    monkeypatch.setenv("GENZOO_DATA", str(cache.parent))
    monkeypatch.setattr(judge, "_WORTH_KEEPING", 0)
    # Other data or settings are another judge, and a damaged file is replaced.
    judge_of(Bands(count=300), QUICK)
    judge_of(Bands(), JudgeSettings(images=4096, seed=1))
    assert len(list(cache.iterdir())) == 3
    file.write_bytes(whole[:1000])
    again, _ = judge_of(Bands(), QUICK)
    assert torch.equal(again(image), trained(image))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (1, 28, 28), (3, 64, 64)])
def test_judge_takes_any_image(shape: tuple[int, int, int]) -> None:
    made = Judge(ImageSpec(shape, classes=4))
    assert made(torch.rand(2, *shape)).shape == (2, 4)
    assert made.classify(torch.rand(3, *shape)).shape == (3,)


@pytest.mark.slow
def test_judge_of_mnist_is_good_enough() -> None:
    from genzoo_mnist.mnist import Mnist
    from genzoo_mnist.options import MnistOptions

    _, accuracy = judge_of(Mnist(MnistOptions()))
    assert accuracy >= 0.99
    start = time.monotonic()
    assert judge_of(Mnist(MnistOptions()))[1] == accuracy
    # Reading the kept one costs reading the data and classifying the test set.
    assert time.monotonic() - start < 60
