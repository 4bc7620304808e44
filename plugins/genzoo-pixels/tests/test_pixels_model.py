"""The `pixels` model: what its prior makes of images, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from genzoo import estimators
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Parts
from genzoo.options import NoOptions
from genzoo.testing.reference import PlainPrior
from genzoo.types import Batch, Capability, ImageSpec, LatentSpec
from genzoo_pixels.options import PixelsOptions
from genzoo_pixels.pixels import Pixels

GREY = ImageSpec((1, 2, 3), levels=16)


def made(image: ImageSpec = GREY, supports: tuple[str, ...] = ("real", "categorical"), **options: str) -> Pixels:
    absent = None
    parts = Parts(image, absent, absent, lambda latent: PlainPrior(NoOptions(), latent, image), frozenset(supports))  # type: ignore[arg-type]
    return Pixels(PixelsOptions(**options), parts)  # type: ignore[arg-type]


def test_the_prior_decides_what_the_latents_are() -> None:
    real, categorical = made(supports=("real",)), made(supports=("categorical",))
    assert real.levels == (LatentSpec((1, 2, 3)),)
    assert categorical.levels == (LatentSpec((2, 3), categories=16),)
    assert made().levels == real.levels, "real where the prior supports both"
    assert made(levels="categorical").levels == categorical.levels
    assert Capability.CATEGORICAL_LATENT in categorical.capabilities
    assert Capability.CATEGORICAL_LATENT not in real.capabilities
    assert made(ImageSpec((3, 2, 2), levels=4), levels="categorical").levels == (LatentSpec((3, 2, 2), categories=4),)


def test_continuous_pixels_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="must have a number of grey levels, got continuous pixels"):
        made(ImageSpec((1, 2, 2), levels=None))


@pytest.mark.parametrize("options", [{}, {"space": "logit"}, {"levels": "categorical"}])
def test_images_come_back_as_they_were_and_cost_no_distortion(options: dict[str, str]) -> None:
    model = made(**options)
    image = torch.randint(16, (40, 1, 2, 3)) / 15
    output = model(Batch(image), samples=5)
    assert torch.equal(estimators.distortion(output, image), torch.zeros(5, 40))
    torch.testing.assert_close(model.generate([output.latents[0].sample[0]]), image)


@pytest.mark.parametrize("space", ["centred", "logit"])
def test_images_of_float64_are_exact_in_float64(space: str) -> None:
    z = made(space=space).double().prior_of_top().sample(torch.Size([5]))
    image = made(space=space).double().generate([z.double().reshape(5, 1, 2, 3)])
    assert image.dtype == torch.float64
    assert torch.equal(image, (image * 15).round() / 15)


def test_the_rate_of_codes_is_exactly_the_priors_log_probability() -> None:
    output = made(levels="categorical")(Batch(torch.randint(16, (4, 1, 2, 3)) / 15))
    (rate,) = estimators.rates(output.latents)
    torch.testing.assert_close(rate.value, torch.full((1, 4), 6 * math.log(16)))


def test_the_rate_of_dequantized_levels_bounds_the_log_probability_from_above_and_is_near_it() -> None:
    """Under N(0, 1) a level between a and b has probability Φ(b) − Φ(a)."""
    levels = torch.arange(16.0)
    image = levels.reshape(16, 1, 1, 1).expand(16, 1, 2, 3) / 15
    edges = 2 * torch.arange(17.0) / 16 - 1
    normal = torch.distributions.Normal(0.0, 1.0)
    exact = -6 * (normal.cdf(edges[1:]) - normal.cdf(edges[:-1])).log()
    torch.manual_seed(0)
    (rate,) = estimators.rates(made()(Batch(image), samples=4000).latents)
    measured, error = rate.value.mean(0), rate.value.std(0) / 4000**0.5
    assert ((measured - exact) > -5 * error - 2e-3).all()
    assert ((measured - exact) < 5 * error + 0.01).all()
