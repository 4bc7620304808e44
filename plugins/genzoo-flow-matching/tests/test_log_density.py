"""The density along the flow: linear fields in closed form, the exact trace, probes with their error, and the metric."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

import genzoo
from genzoo.errors import PluginError, UsageError
from genzoo.types import ImageSpec, LatentSpec
from genzoo_flow_matching import ode
from genzoo_flow_matching.flow_matching import FlowMatching
from genzoo_flow_matching.log_density import log_density
from genzoo_flow_matching.ode import solve
from genzoo_flow_matching.options import FlowMatchingOptions

HEUN: dict[str, Any] = {"solver": "heun", "steps": 200, "tolerance": 0.0}
needs_torchdiffeq = pytest.mark.skipif(
    find_spec("torchdiffeq") is None, reason="the extra genzoo-flow-matching[torchdiffeq]"
)


def matrix() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(4, 4, dtype=torch.float64) / 2


def linear(z: Tensor, time: float) -> Tensor:
    return (2 * time) * (z @ matrix().T)


def truth(z: Tensor) -> Tensor:
    """z₁ = exp(A) z₀, since ∫ 2t dt = 1."""
    grown = torch.linalg.matrix_exp(matrix())
    return MultivariateNormal(torch.zeros(4, dtype=torch.float64), grown @ grown.T).log_prob(z)


class Bent(nn.Module):
    def __init__(self, size: int, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Linear(size + 1, width), nn.Tanh(), nn.Linear(width, size)).double()

    def forward(self, z: Tensor, time: float) -> Tensor:
        flat = z.flatten(1)
        return self.body(torch.cat([flat, torch.full_like(flat[:, :1], time)], 1)).reshape(z.shape)


def test_a_linear_field_has_its_density_in_closed_form() -> None:
    z = torch.randn(9, 4, dtype=torch.float64)
    found = log_density(linear, z, **HEUN)
    torch.testing.assert_close(found.value, truth(z), rtol=1e-3, atol=1e-3)
    assert not found.error.any()
    coarse = log_density(linear, z, **{**HEUN, "steps": 100})
    ratio = (coarse.value - truth(z)).abs().max() / (found.value - truth(z)).abs().max()
    assert float(ratio) == pytest.approx(4, rel=0.2), "Heun's order is 2"


@needs_torchdiffeq
def test_the_adaptive_solver_errs_by_its_tolerance() -> None:
    z = torch.randn(9, 4, dtype=torch.float64)
    errors = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        found = log_density(linear, z, solver="adaptive", steps=1, tolerance=tolerance)
        errors.append(float((found.value - truth(z)).abs().max()))
    assert errors[0] < 0.05
    assert errors[1] < 1e-4
    assert errors[2] < 1e-7


def test_probes_are_unbiased_and_their_error_is_what_it_says() -> None:
    z = torch.randn(1, 4, dtype=torch.float64).expand(3000, 4)
    found = log_density(linear, z, **{**HEUN, "steps": 30}, probes=4)
    exact = log_density(linear, z[:1], **{**HEUN, "steps": 30}).value
    away = found.value - exact
    assert float(away.std()) > 0.01
    assert abs(float(away.mean())) < 4 * float(away.std()) / 3000**0.5
    assert float(found.error.square().mean().sqrt()) == pytest.approx(float(away.std()), rel=0.1)


def test_the_exact_trace_is_that_of_the_jacobian_and_probes_agree() -> None:
    field, z = Bent(6), torch.randn(5, 2, 3, dtype=torch.float64)
    short: dict[str, Any] = {"solver": "euler", "steps": 1, "tolerance": 0}
    found = log_density(field, z, **short)
    start = z - field(z, 1.0)
    for one, value, begun in zip(z, found.value, start, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: field(x[None], 1.0).flatten(), one).reshape(6, 6)
        expected = Normal(0, 1).log_prob(begun).sum() - jacobian.trace()
        torch.testing.assert_close(value, expected)
    many = log_density(field, z, **HEUN | {"steps": 20}, probes=200)
    exact = log_density(field, z, **HEUN | {"steps": 20})
    assert bool(((many.value - exact.value).abs() < 5 * many.error).all())


@pytest.mark.parametrize("size", [1, 2])
def test_the_density_of_a_bent_field_integrates_to_one(size: int) -> None:
    line = torch.linspace(-8, 8, 161 if size == 2 else 2001, dtype=torch.float64)
    grid = torch.cartesian_prod(*([line] * size)).reshape(-1, size)
    total = log_density(Bent(size), grid, **{**HEUN, "steps": 40}).value.exp().sum() * (line[1] - line[0]) ** size
    assert float(total) == pytest.approx(1, abs=2e-3)


def prior(**options: Any) -> FlowMatching:
    made = FlowMatching(
        FlowMatchingOptions(**options), LatentSpec((2,)), ImageSpec((1, 2, 2), levels=2, classes=3)
    ).double()
    torch.manual_seed(2)

    class Conditioned(nn.Module):
        def __init__(self, condition: int) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(2 + condition, 16), nn.Tanh(), nn.Linear(16, 2)).double()

        def forward(self, z: Tensor, condition: Tensor) -> Tensor:
            return self.body(torch.cat([z, condition], 1))

    made.prepare(lambda image, condition: Conditioned(condition[0]))
    made.begun = True
    return made.eval()


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_draws_follow_the_density_of_their_label(guidance: float) -> None:
    made = prior(conditional=True, guidance=guidance, solver="heun", steps=20)
    line = torch.linspace(-7, 7, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    for label in (0, 2):
        found = made.log_density(grid, torch.full((len(grid),), label), **{**HEUN, "steps": 40})
        weight = found.value.exp()[:, None] * (line[1] - line[0]) ** 2
        assert float(weight.sum()) == pytest.approx(1, abs=2e-3)
        torch.manual_seed(0)
        drawn = made.draw(10_000, torch.full((10_000,), label))
        mean = (weight * grid).sum(0)
        torch.testing.assert_close(drawn.mean(0), mean, atol=0.06, rtol=0)
        torch.testing.assert_close(drawn.square().mean(0), (weight * grid.square()).sum(0), atol=0.1, rtol=0.05)
    with pytest.raises(UsageError, match="label must be given"):
        made.log_density(grid, None, **HEUN)


def test_before_it_is_fitted_the_density_is_the_normal() -> None:
    made, z = prior(), torch.randn(5, 2, dtype=torch.float64)
    made.begun = False
    torch.testing.assert_close(made.log_density(z, None, **HEUN).value, Normal(0, 1).log_prob(z).sum(1))


@needs_torchdiffeq
def test_adaptive_draws_end_where_many_steps_do() -> None:
    """Of the same noise; and the steps do not matter to it."""
    ends = []
    for options in (
        {"solver": "heun", "steps": 300},
        {"solver": "adaptive", "tolerance": 1e-6},
        {"solver": "adaptive", "tolerance": 1e-6, "steps": 1},
    ):
        made = prior(**options)
        torch.manual_seed(0)
        ends.append(made.draw(50))
    torch.testing.assert_close(ends[1], ends[0], atol=1e-3, rtol=0)
    assert torch.equal(ends[1], ends[2])


def test_adaptive_without_torchdiffeq_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ode, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="solver adaptive must have torchdiffeq, which is not installed"):
        prior(solver="adaptive")
    prior(solver="heun")


def test_time_may_run_backwards() -> None:
    state = (torch.randn(3, dtype=torch.float64),)
    there = solve(lambda t, s: (torch.sin(s[0] + t),), state, 0.0, 1.0, **HEUN)
    back = solve(lambda t, s: (torch.sin(s[0] + t),), there, 1.0, 0.0, **HEUN)
    torch.testing.assert_close(back, state, rtol=1e-4, atol=1e-4)


def test_the_metric_says_what_it_did_on_pixels_and_on_latents(tmp_path: Path) -> None:
    common: Any = {"data": "digits", "epochs": 1, "limit": 64, "viz": [], "progress": False, "out": tmp_path}
    run = genzoo.run("flow-matching", **common, field=("mlp", {"hidden": (16,)}))
    numbers = run.evaluate("log-prob", images=20, steps=10, probes=3)
    assert set(numbers) == {"log-prob", "latents", "standard_error", "trace_error", "bits_per_dim"}
    assert numbers["bits_per_dim"] == pytest.approx(-numbers["log-prob"] / (64 * math.log(2)))
    exact = run.evaluate("log-prob", images=20, steps=10, exact=64)
    assert "trace_error" not in exact
    assert abs(exact["log-prob"] - numbers["log-prob"]) < 5 * numbers["trace_error"] + 1e-3
    vae = genzoo.run("vae", **common, network=("mlp", {"hidden": (16,)}))
    normal = vae.evaluate("log-prob", images=64)
    assert vae.evaluate("elbo")["elbo"] == pytest.approx(normal["log-prob"], rel=0.1)
