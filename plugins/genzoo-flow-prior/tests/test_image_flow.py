"""The image flow: its inverse, its determinant, its density and its start."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo.errors import IncompatibleError
from genzoo.types import ImageSpec, LatentSpec
from genzoo_flow_prior.image_flow import ImageFlowPrior
from genzoo_flow_prior.options import ImageFlowOptions

IMAGE = ImageSpec((1, 4, 4), levels=4)
SHAPES = [(1, 4, 4), (3, 2, 4), (2, 3, 3), (1, 6, 6), (1, 1, 5)]


def made(shape: tuple[int, ...], *, bent: float = 0.3, **options: Any) -> ImageFlowPrior:
    torch.manual_seed(0)
    prior = ImageFlowPrior(ImageFlowOptions(width=6, couplings=2, **options), LatentSpec(shape), IMAGE).double()
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(bent * torch.randn_like(p))
    return prior


def images(n: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(n, *shape, dtype=torch.float64)


@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_draw_is_the_inverse_of_what_the_density_reads(shape: tuple[int, ...], scales: int) -> None:
    flow, noise = made(shape, scales=scales).flow, images(7, shape)
    z = flow.generate(noise)
    torch.testing.assert_close(flow(z)[0], noise, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(z, noise, atol=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_log_determinant_is_that_of_the_jacobian(shape: tuple[int, ...]) -> None:
    flow, z = made(shape).flow, images(3, shape)
    _, found = flow(z)
    for one, value in zip(z, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0].flatten(), one)
        _, expected = torch.linalg.slogdet(jacobian.reshape(one.numel(), one.numel()))
        torch.testing.assert_close(value, expected)


def test_the_density_integrates_to_one() -> None:
    """Over two numbers, on a grid."""
    prior = made((1, 1, 2), bent=0.1)
    line = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).reshape(-1, 1, 1, 2)
    total = prior().log_prob(grid).exp().sum() * (line[1] - line[0]) ** 2
    assert float(total.detach()) == pytest.approx(1, abs=1e-3)


def test_draws_follow_the_density() -> None:
    """E[log p(z)] over draws is what the draws' own noise says: log N(u) less the log-determinant of the way out."""
    prior = made((1, 4, 4))
    torch.manual_seed(1)
    drawn = prior().rsample((500,))
    torch.manual_seed(1)
    noise = images(500, (1, 4, 4))
    u, log_det = prior.flow(drawn)
    torch.testing.assert_close(u, noise, rtol=1e-9, atol=1e-9)
    expected = -0.5 * (noise.square() + math.log(2 * math.pi)).flatten(1).sum(1) + log_det
    torch.testing.assert_close(prior().log_prob(drawn), expected)


def test_every_number_is_moved_by_what_the_others_are() -> None:
    prior, z = made((1, 8, 8), scales=3), images(1, (1, 8, 8))
    jacobian = torch.autograd.functional.jacobian(lambda x: prior.flow(x)[0].flatten(), z).reshape(64, 64)
    off = jacobian - torch.diag(jacobian.diagonal())
    assert bool((off.abs().sum(1) > 0).all())
    assert bool((off.abs().sum(0) > 0).all())


def test_it_starts_as_the_standard_normal() -> None:
    prior, z = made((1, 4, 4), bent=0), images(5, (1, 4, 4))
    expected = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    torch.testing.assert_close(prior().log_prob(z), expected)


def test_latents_without_height_and_width_are_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"latents must be images \[C, H, W\], got \[5\]"):
        ImageFlowPrior(ImageFlowOptions(), LatentSpec((5,)), IMAGE)
