"""What a run says of its latents when it ends: units, codes and levels, in use or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.options import NoOptions, Options
from genzoo.randomness import seeded
from genzoo.runs.closing import levels_in_use
from genzoo.runs.verdict import LevelUse, codebook_remedies, verdict
from genzoo.types import Batch, Capability, Encoding, Latent, LatentSpec


class Copying:
    """A unit that says what the image is and one of noise, and a lower level that copies a sample of both."""

    levels = (LatentSpec((2,)), LatentSpec((2,)))
    capabilities = frozenset({Capability.REAL_LATENT, Capability.HIERARCHICAL})

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        mean = torch.stack([batch.image.flatten(1).mean(1), torch.zeros(len(batch))], 1)
        top = DiagonalNormal(mean, torch.zeros_like(mean))
        sample = top.rsample((samples,))
        below = DiagonalNormal(sample, torch.zeros_like(sample))
        prior = StandardNormal((2,))
        return Encoding((Latent(top, prior, sample), Latent(below, prior, below.rsample())))


def test_noise_from_another_level_is_no_unit_in_use() -> None:
    with seeded(0):
        model: Any = Copying()
        levels = levels_in_use(model, Batch(torch.randn(1000, 1, 1, 1)))
    assert levels == [LevelUse(2, active=1), LevelUse(2, active=1)]


class Picking:
    """One place that takes code 0 for dark images and 2 for bright ones, of four codes."""

    levels = (LatentSpec((1,), categories=4),)
    capabilities = frozenset({Capability.CATEGORICAL_LATENT, Capability.DETERMINISTIC_POSTERIOR})

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        codes = 2 * (batch.image.flatten(1).mean(1, keepdim=True) > 0).long()
        prior: Any = None
        return Encoding((Latent(prior, prior, codes.expand(samples, -1, -1)),))


def test_codes_are_counted() -> None:
    model: Any = Picking()
    (level,) = levels_in_use(model, Batch(torch.tensor([-1.0, -1.0, 1.0, 1.0]).reshape(4, 1, 1, 1)))
    assert (level.used, level.codes, level.images, level.active) == (2, 4, 4, None)
    assert level.perplexity == pytest.approx(2)
    assert level.deterministic


def told(*levels: LevelUse, remedies: Sequence[str] = ("A", "B"), step: int = 9000, **numbers: Any) -> str:
    test = {"distortion": 70.0, "rate": 25.0, "elbo": -95.0, **numbers}
    return verdict({"step": step, "test": test}, levels, remedies=remedies, report_setup=False)


VQ = LevelUse(49, codes=128, used=97, entropy=math.log(80.0), images=1000, deterministic=True)


def test_codes_under_a_uniform_prior_are_not_judged_by_the_rate() -> None:
    text = told(VQ, rate=49 * math.log(128), distortion=48.47)
    assert text == (
        "The codes are in use: 97 of 128 codes occur in 1000 images, perplexity 80.0; distortion 48.47. "
        "The prior is uniform, 4.85 nats a code whatever the codes are, so the rate says nothing of them."
    )


def test_a_fitted_prior_is_held_against_the_codes_own_frequencies() -> None:
    text = told(VQ, rate=49 * 1.25)
    assert "The prior spends 1.25 nats on each of an image's 49 codes, where their own frequencies take 4.38." in text
    assert "uniform" not in text
    assert "Try" not in text


def test_a_collapsed_codebook_is_told() -> None:
    one = replace(VQ, used=1, entropy=0.0)
    text = told(one, rate=49 * math.log(128))
    assert text.startswith("The codebook has collapsed: 1 of 128 codes occur")
    assert text.endswith("Try A or B.")
    early = told(one, rate=49 * math.log(128), step=5)
    assert "5 steps are too few to tell whether the codebook has collapsed" in early
    assert "Try" not in early


def test_idle_codes_are_told() -> None:
    few = replace(VQ, used=9, entropy=math.log(5.0))
    text = told(few, rate=49.0)
    assert text.startswith("Most codes are idle: 9 of 128 codes occur in 1000 images, perplexity 5.0")
    assert text.endswith("Try A or B.")
    assert "Try" not in told(few, rate=49.0, step=5)


def test_each_level_is_told() -> None:
    text = told(LevelUse(50, active=5), LevelUse(100, active=25), rates=[3.0, 22.0])
    assert "the rate is 25.00 nats an image, 30 of 150 latent units active" in text
    assert text.endswith(" Level 1, the top: 3.00 nats, 5 of 50 units; level 2: 22.00 nats, 25 of 100 units.")


@pytest.mark.parametrize(
    ("top", "rates"), [(LevelUse(50, active=0), [0.5, 24.5]), (LevelUse(50, active=3), [0.01, 24.99])]
)
def test_a_dead_level_is_named(top: LevelUse, rates: list[float]) -> None:
    below = LevelUse(100, active=25)
    assert told(top, below, rates=rates).endswith("Level 1, the top, is dead: the model does without. Try A or B.")
    assert "Level 2 is dead" in told(below, top, rates=rates[::-1])
    early = told(top, below, rates=rates, step=5)
    assert "Level 1, the top, is not in use yet; 5 steps are too few" in early
    assert "dead" not in early


def test_all_levels_dead_is_a_collapse() -> None:
    text = told(LevelUse(50, active=0), LevelUse(100, active=0), rates=[0.0, 0.01], rate=0.01)
    assert text.startswith("The posterior has collapsed: the rate is 0.010 nats, 0 of 150 latent units active")


def test_one_level_is_told_without_its_number() -> None:
    text = told(LevelUse(40, active=11), rates=[25.0])
    assert "11 of 40 latent units active" in text
    assert "level" not in text


def test_codes_that_are_drawn_are_judged_by_their_rate() -> None:
    drawn = replace(VQ, deterministic=False)
    assert told(drawn, rate=0.01).startswith("The posterior has collapsed: the rate is 0.010 nats, so")
    assert told(drawn, rate=25.0).startswith("The latents are in use: the rate is 25.00 nats an image; distortion")


class Quantised(Options):
    codes: int = 128
    codebook: str = "gradient"
    revive_below: float = 0.0


def test_a_codebook_is_mended_with_what_the_model_has() -> None:
    assert codebook_remedies(Quantised()) == [
        "--model.codebook ema",
        "--model.revive-below 0.05",
        "fewer codes (--model.codes 64)",
        "a lower --lr",
    ]
    assert "--model.revive-below 0.1" in codebook_remedies(Quantised(codebook="ema", revive_below=0.05))
    assert codebook_remedies(NoOptions()) == ["a lower --lr", "more --epochs"]


@pytest.mark.parametrize("model", ["vq-vae", "ladder-vae"])
def test_a_run_tells_of_its_own_latents(model: str, tmp_path: Path) -> None:
    options = {"codes": 8, "code_dim": 4} if model == "vq-vae" else {"latent_dims": (2, 3), "widths": (8, 8)}
    prior = ("autoregressive", {"width": 8, "layers": 2, "epochs": 1}) if model == "vq-vae" else None
    small: dict[str, Any] = {"epochs": 1, "limit": 32, "batch_size": 16, "device": "cpu", "progress": False}
    run = genzoo.run((model, options), data="digits", prior=prior, out=tmp_path, **small)
    if model == "vq-vae":
        assert "of 8 codes" in run.verdict
        assert "latent units" not in run.verdict
    else:
        assert "of 5 latent units active" in run.verdict


def test_a_rate_of_rounding_errors_below_zero_is_printed_as_none() -> None:
    row = {"step": 9999, "test": {"distortion": 206.0, "rate": -1e-7, "rates": [-1e-7], "elbo": -206.0}}
    text = verdict(row, [LevelUse(2, 0)], remedies=["more epochs"], report_setup=False)
    assert "the rate is 0.000 nats" in text
