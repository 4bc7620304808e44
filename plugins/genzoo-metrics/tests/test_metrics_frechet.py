"""The Fréchet distance of judge features against its closed forms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import genzoo
from genzoo_metrics.judge_frechet import frechet


def normal(n: int, mean: torch.Tensor, factor: torch.Tensor, seed: int) -> torch.Tensor:
    """Draws whose sample mean and covariance are exactly those asked for."""
    raw = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    raw = raw - raw.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(raw.T.cov()), raw.T, upper=False).T
    return white @ factor.T + mean


def test_the_distance_to_itself_is_zero_and_it_is_symmetric() -> None:
    a = normal(50, torch.zeros(4).double(), torch.randn(4, 4).double(), 0)
    b = normal(60, torch.ones(4).double(), torch.randn(4, 4).double(), 1)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a))


def test_a_shift_costs_its_squared_length() -> None:
    factor = torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).double()
    a = normal(40, torch.zeros(3).double(), factor, 0)
    assert frechet(a, a + torch.tensor([1.0, -2.0, 2.0])) == pytest.approx(9.0)


def test_diagonal_covariances_differ_by_their_standard_deviations() -> None:
    zero = torch.zeros(3).double()
    a = normal(40, zero, torch.diag(torch.tensor([1.0, 2.0, 3.0])).double(), 0)
    b = normal(40, zero, torch.diag(torch.tensor([2.0, 2.0, 7.0])).double(), 1)
    assert frechet(a, b) == pytest.approx(1 + 0 + 16)


def test_it_agrees_with_the_square_root_of_the_product() -> None:
    a = normal(80, torch.zeros(5).double(), torch.randn(5, 5, generator=torch.Generator().manual_seed(3)).double(), 0)
    b = normal(80, torch.ones(5).double(), torch.randn(5, 5, generator=torch.Generator().manual_seed(4)).double(), 1)
    product = a.T.cov() @ b.T.cov()
    expected = 5 + a.T.cov().trace() + b.T.cov().trace() - 2 * torch.linalg.eigvals(product).real.sqrt().sum()
    assert frechet(a, b) == pytest.approx(float(expected))


def test_a_constant_feature_is_no_obstacle() -> None:
    a = torch.cat([torch.randn(30, 2, generator=torch.Generator().manual_seed(5)), torch.zeros(30, 1)], 1)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", ["gan", "realnvp"])
def test_images_that_are_no_draws_of_a_likelihood_are_measured_once(model: str, tmp_path: Path) -> None:
    # A GAN has no p(x|z), and the latents of RealNVP are the pixels.
    tiny = {"images": 64, "judge_images": 256, "judge_accuracy": 0.0}
    run = genzoo.run(model, data="digits", epochs=1, limit=128, out=tmp_path, progress=False)
    numbers = run.evaluate("judge-frechet", **tiny)
    assert {"judge-frechet", "real"} <= numbers.keys()
    assert "samples" not in numbers
