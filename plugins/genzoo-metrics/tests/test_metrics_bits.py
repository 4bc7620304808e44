"""Bits per dimension: probabilities of grey levels sum to one, known answers, what the number is, refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Independent, Laplace, Normal

import genzoo
from genzoo.distributions import DiagonalNormal, log_mass
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Parts
from genzoo.options import NoOptions
from genzoo.testing.bench import GREY, View
from genzoo.testing.reference import DensityModel
from genzoo.types import Batch, Split
from genzoo_likelihoods.continuous_bernoulli import ContinuousBernoulliFromLogits
from genzoo_metrics.bits_per_dim import BitsPerDim, intervals, nats
from genzoo_metrics.options import BitsPerDimOptions
from genzoo_pixels.options import PixelsOptions
from genzoo_pixels.pixels import Pixels
from genzoo_priors.standard_normal import StandardNormalPrior

QUICK = {"data": "mnist", "epochs": 1, "limit": 32, "progress": False, "batch_size": 16}
EVERY = (torch.arange(256, dtype=torch.float64) / 255)[:, None, None, None]
"""One image of one pixel for each grey level."""


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.4999, 1.0, 5.0])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_a_normal_gives_the_grey_levels_a_probability_of_one(mean: float, scale: float) -> None:
    place = torch.full((256, 1, 1, 1), mean, dtype=torch.float64)
    found = log_mass(DiagonalNormal(place, torch.full_like(place, 2 * math.log(scale)), 3), *intervals(EVERY))
    assert found is not None
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert bool(torch.isfinite(found).all()), "levels far from the mean are improbable, not impossible"
    lower, upper = intervals(EVERY)
    plain = Normal(*torch.tensor([mean, scale], dtype=torch.float64))
    direct = (plain.cdf(upper) - plain.cdf(lower)).flatten()
    near = direct > 1e-6
    assert torch.allclose(found[near], direct[near].log(), atol=1e-6)


@pytest.mark.parametrize("logit", [-30.0, -0.1, 0.0, 0.3, 200.0])
def test_a_continuous_bernoulli_does_too(logit: float) -> None:
    found = log_mass(
        ContinuousBernoulliFromLogits(torch.full((256, 1, 1, 1), logit, dtype=torch.float64)), *intervals(EVERY)
    )
    assert found is not None
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-10)


def test_another_distribution_with_a_cdf_does_too() -> None:
    place = torch.full((256, 1, 1, 1), 0.3, dtype=torch.float64)
    found = log_mass(Independent(Laplace(place, 0.1), 3), *intervals(EVERY))
    assert found is not None
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)


def measured(run: genzoo.Run) -> tuple[dict[str, float], str]:
    kept = run.folder.record()["metrics"]["bits-per-dim"]
    return kept["values"], kept["protocol"]


def test_a_decoder_that_ignores_its_latent_costs_its_own_mass_and_the_rate() -> None:
    view = View.of(DensityModel, GREY)
    model = view.model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # posterior N(0, I), mean ½ everywhere
        image = torch.full((2, 1, 8, 8), 128 / 255)
        found = nats(model, Batch(image, torch.zeros(2, dtype=torch.int64)))
    plain = Normal(torch.tensor(0.5, dtype=torch.float64), 0.2)
    mass = plain.cdf(torch.tensor(128.5 / 255)) - plain.cdf(torch.tensor(127.5 / 255))
    assert found.tolist() == pytest.approx([-64 * math.log(float(mass))] * 2, rel=1e-4)
    with torch.no_grad():
        numbers = BitsPerDim(BitsPerDimOptions()).evaluate(view)
    assert numbers[""] == pytest.approx(numbers["nats"] / (64 * math.log(2)))


def test_an_untrained_model_of_grey_levels_needs_eight_bits_exactly(tmp_path: Path) -> None:
    prior = ("autoregressive", {"width": 8, "layers": 1, "epochs": 1, "lr": 1e-12})
    run = genzoo.run("pixelcnn", prior=prior, metrics="bits-per-dim", out=tmp_path, **QUICK)
    numbers, protocol = measured(run)
    assert protocol.startswith("exact")
    assert numbers["bits-per-dim"] == pytest.approx(8, abs=0.5), "its first weights are near uniform"


def test_dequantized_pixels_under_a_known_density() -> None:
    """N(0, 1) over 2y − 1: −E log p = ½ log 2π + E z²/2, and the slope and the levels' width are log(256/2) a pixel."""
    none: Any = None
    parts = Parts(GREY, none, none, lambda latent: StandardNormalPrior(NoOptions(), latent, GREY))
    view = View.of(Pixels(PixelsOptions(levels="real"), parts).eval(), GREY)
    split = view.split()
    view = replace(view, splits={"test": Split((255 * split.images).round().to(torch.uint8), split.labels)})
    found: Any = BitsPerDim(BitsPerDimOptions(samples=20)).evaluate(view)
    assert found.protocol.startswith("a bound")
    image = view.batch().image
    centre = 2 * ((image * 255).round() + 0.5) / 256 - 1
    squared = centre.square() + (2 / 256) ** 2 / 12
    expected = (0.5 * math.log(2 * math.pi) + squared / 2 + math.log(128)).mean() / math.log(2)
    assert found[""] == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(
    ("model", "parts", "said"),
    [
        ("vae", {"network": "mlp"}, "likelihood must give each grey level a probability, got Bernoulli"),
        ("vae", {"network": "mlp", "data": ("mnist", {"binarize": "threshold"})}, "must have 256 grey levels, got 2"),
        (
            "flow-matching",
            {"field": ("unet", {"width": 8})},
            "prior must have a density or a bound on it, got FlowMatching",
        ),
        ("vae", {"network": "mlp", "data": "digits"}, "must have 256 grey levels, got 17"),
        ("gan", {"network": "mlp"}, "a model that encodes and decodes"),
    ],
)
def test_what_has_no_bits_is_refused_by_name(model: str, parts: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=said):
        genzoo.run(model, metrics="bits-per-dim", out=tmp_path, **QUICK | parts)
    assert not list(tmp_path.rglob("run.json"))
