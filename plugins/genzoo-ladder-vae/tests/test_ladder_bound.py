"""The ladder's evidence lower bound against its exact value and the exact likelihood, by quadrature in float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.testing.reference import reference_parts
from genzoo.types import Batch, ImageSpec
from genzoo_ladder_vae.ladder import LadderVAE
from genzoo_ladder_vae.merge import merge
from genzoo_ladder_vae.options import LadderOptions

IMAGE = ImageSpec((1, 3, 3))
NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(80))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Exact(NamedTuple):
    likelihood: float
    elbo: float


def tiny(inference: str, norm: str = "layer") -> tuple[LadderVAE, Tensor]:
    """Two levels of one dimension each, with weights large enough that the levels depend on each other."""
    torch.manual_seed(1)
    options = LadderOptions(latent_dims=(1, 1), widths=(8, 8), inference=inference, norm=norm)
    model = LadderVAE(options, reference_parts(IMAGE)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.6)
    return model, (torch.rand(1, *IMAGE.shape) > 0.5).double()


def nodes(normal: DiagonalNormal) -> Tensor:
    """Quadrature nodes of one-dimensional normals ``[*, 1]``, ``[nodes, *, 1]``."""
    return normal.mean + normal.stddev * NODES.reshape(-1, *([1] * normal.mean.dim()))


def mean_over_nodes(values: Tensor) -> Tensor:
    """The expectation over the leading dimension of nodes."""
    return torch.einsum("n,n...->...", WEIGHTS, values)


def exact(model: LadderVAE, image: Tensor) -> Exact:
    def decoded(lower: Tensor) -> Tensor:
        return model.decode([lower, lower]).log_prob(image)

    grid = torch.linspace(-9, 9, 1501, dtype=torch.float64)[:, None]
    below = model._below(grid, 0)
    inner = decoded(nodes(below)).add(WEIGHTS.log()[:, None]).logsumexp(0)
    step = math.log(18 / 1500)
    likelihood = (inner + Normal(0.0, 1.0).log_prob(grid[:, 0])).logsumexp(0).item() + step

    if model._top_down:
        upper, lower = model._evidence(image)[-1], model._evidence(image)[0]
        top = nodes(upper)
        below = model._below(top, 0)
        merged = merge(lower, below)
        bottom = nodes(merged)
        gain = decoded(bottom) + (below.log_prob(bottom) - merged.log_prob(bottom))
        expected = mean_over_nodes(mean_over_nodes(gain))
        rate = mean_over_nodes(upper.log_prob(top) - Normal(0.0, 1.0).log_prob(top).sum(-1))
    else:
        first = model._infer_up(image, 1)[0][-1]
        bottom = nodes(first)
        upper = model._upper(0, bottom)
        top = nodes(upper)
        given = mean_over_nodes(model._below(top, 0).log_prob(bottom))
        expected = mean_over_nodes(decoded(bottom) + given - first.log_prob(bottom))
        rate = mean_over_nodes(mean_over_nodes(upper.log_prob(top) - Normal(0.0, 1.0).log_prob(top).sum(-1)))
    return Exact(likelihood, (expected - rate).item())


@pytest.mark.parametrize("inference", ["top-down", "bottom-up"])
def test_the_bound_is_the_exact_one_in_expectation_and_lies_below_the_likelihood(inference: str) -> None:
    model, image = tiny(inference)
    with torch.no_grad():
        known = exact(model, image)
        output = model(Batch(image), samples=100_000)
        weights = estimators.log_weights(output, image)
        for estimate in (estimators.elbo(output, image)[:, 0], weights[:, 0]):
            error = estimate.std().item() / len(estimate) ** 0.5
            assert error < 0.02
            assert estimate.mean().item() == pytest.approx(known.elbo, abs=4 * error)
        # Ancestral samples give the likelihood itself, as long as it is not far from that of a typical draw.
        drawn = model.decode([torch.randn(100_000, 1, dtype=torch.float64)]).log_prob(image)
    assert known.elbo < known.likelihood - 0.05
    assert (drawn.logsumexp(0) - math.log(len(drawn))).item() == pytest.approx(known.likelihood, abs=0.02)
    bound = estimators.importance_weighted_bound(weights).item()
    assert known.elbo < bound < known.likelihood + 0.02


def test_a_closed_form_of_the_lower_level_would_be_no_bound_bottom_up() -> None:
    """What `Sampled` prevents: KL(q(z₁|x) ‖ p(z₁|z₂)) at a drawn z₂ does not average to the term of the bound."""
    model, image = tiny("bottom-up")
    with torch.no_grad():
        known = exact(model, image)
        output = model(Batch(image), samples=100_000)
        upper, lower = output.latents
        below = model._below(upper.sample, 0)
        mean, variance = lower.posterior.mean, lower.posterior.variance
        closed = ((variance + (mean - below.mean) ** 2) / below.variance + below.log_variance - variance.log() - 1) / 2
        wrong = output.likelihood.log_prob(image) - closed.sum(-1) - estimators.rate(upper).value
        error = wrong.std().item() / len(wrong) ** 0.5
    assert abs(wrong.mean().item() - known.elbo) > 6 * error


@pytest.mark.parametrize("inference", ["top-down", "bottom-up"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("images", [1, 5, 8])
def test_an_image_is_encoded_alike_alone_and_among_others(inference: str, norm: str, images: int) -> None:
    """With as many images as a layer has units too, which a normalisation over the wrong dimension would take."""
    model, _ = tiny(inference, norm)
    batch = torch.rand(images, *IMAGE.shape, dtype=torch.float64)
    with torch.no_grad():
        assert [latent.sample.shape for latent in model.encode(Batch(batch), samples=3).latents] == [(3, images, 1)] * 2
        if inference == "bottom-up":
            lower = torch.linspace(-1, 1, 3 * images, dtype=torch.float64).view(3, images, 1)
            whole, alone = (model._upper(0, part) for part in (lower, lower[:, :1]))
            torch.testing.assert_close(whole.mean[:, :1], alone.mean)


def test_batch_normalisation_of_bottom_up_training_is_over_images_and_samples() -> None:
    model, _ = tiny("bottom-up", "batch")
    model.train()
    lower = torch.randn(8, 8, 1, dtype=torch.float64)
    flat = model._upper(0, lower.reshape(1, 64, 1))
    torch.testing.assert_close(model._upper(0, lower).mean.reshape(1, 64, 1), flat.mean)
