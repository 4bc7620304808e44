"""The flow-matching prior against the flow that is known: from N(0, 1) to a normal along straight paths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genzoo.types import ImageSpec, LatentSpec
from genzoo_flow_matching.flow_matching import FlowMatching
from genzoo_flow_matching.options import FlowMatchingOptions

MEAN, DEVIATION = 0.7, 0.4


def best(solver: str, steps: int) -> FlowMatching:
    """The prior of latents N(0.7, 0.4²) whose field errs least: E[z₁ − z₀ | z_t]."""
    prior = FlowMatching(
        FlowMatchingOptions(solver=solver, steps=steps),  # type: ignore[arg-type]
        LatentSpec((3,)),
        ImageSpec((1, 2, 2), levels=2),
    ).double()
    prior.prepare(lambda image, condition: nn.Identity())

    def at(latents: Tensor, time: Tensor, label: Tensor | None = None, *, drop: float = 0.0) -> Tensor:
        t = time[:, None]
        variance = (1 - t) ** 2 + t**2 * DEVIATION**2
        return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (latents - t * MEAN)

    prior.at = at  # type: ignore[method-assign]
    return prior


def error(solver: str, steps: int) -> float:
    """Of 200 draws, from where the flow takes their noise: to 0.7 + 0.4 z₀."""
    torch.manual_seed(0)
    drawn = best(solver, steps).draw(200)
    torch.manual_seed(0)
    noise = torch.randn(200, 3, dtype=torch.float64)
    return float((drawn - (MEAN + DEVIATION * noise)).abs().max())


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_a_step_of_half_the_size_errs_less_by_the_order_of_the_solver(solver: str, order: int) -> None:
    assert error(solver, 100) < 0.05
    assert error(solver, 100) / error(solver, 200) == pytest.approx(2**order, rel=0.1)


def test_heun_errs_less_than_euler_at_the_same_price() -> None:
    assert error("heun", 10) < error("euler", 20) / 5


def test_the_best_field_has_the_error_that_nothing_can_be_known_of() -> None:
    """The least of the loss is the variance of z₁ − z₀ given z_t, 0.4² / ((1 − t)² + 0.4² t²) in the mean over t."""
    torch.manual_seed(0)
    latents = MEAN + DEVIATION * torch.randn(200_000, 3, dtype=torch.float64)
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    least = float((DEVIATION**2 / ((1 - t) ** 2 + DEVIATION**2 * t**2)).mean())
    assert float(best("euler", 1).eval().fit_loss(latents).mean()) == pytest.approx(least, rel=0.01)
