"""The flow prior: exact density, inverse, samples that follow it."""

from __future__ import annotations

import pytest
import torch

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.types import ImageSpec, Latent, LatentSpec
from genzoo_flow_prior.coupling import AffineCoupling
from genzoo_flow_prior.flow import FlowPrior
from genzoo_flow_prior.options import FlowOptions

IMAGE = ImageSpec((1, 8, 8))


def make(shape: tuple[int, ...], *, bent: bool = True) -> FlowPrior:
    torch.manual_seed(0)
    prior = FlowPrior(FlowOptions(layers=4, width=16), LatentSpec(shape), IMAGE).double()
    if bent:
        with torch.no_grad():
            for p in prior.parameters():
                p.add_(0.15 * torch.randn_like(p))
    return prior


def test_starts_as_standard_normal() -> None:
    z = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(make((3,), bent=False)().log_prob(z), StandardNormal((3,)).log_prob(z))


@pytest.mark.parametrize("dim", [1, 2])
def test_integrates_to_one(dim: int) -> None:
    prior = make((dim,))
    axis = torch.linspace(-12, 12, 601 if dim == 2 else 10001, dtype=torch.float64)
    grid = torch.cartesian_prod(*([axis] * dim)).reshape(-1, dim)
    with torch.no_grad():
        mass = prior().log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** dim
    assert mass.item() == pytest.approx(1, abs=2e-3)


def test_samples_have_the_moments_of_the_density() -> None:
    prior = make((2,))
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        weight = prior().log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
    mean = (weight[:, None] * grid).sum(0)
    second = (weight[:, None] * grid.square()).sum(0)
    z = prior().sample((100_000,))
    torch.testing.assert_close(z.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(z.square().mean(0), second, atol=0.05, rtol=0.05)


def test_coupling_inverse_and_determinant() -> None:
    torch.manual_seed(1)
    coupling = AffineCoupling(torch.tensor([True, False, True]), 8, 2.0).double()
    torch.nn.init.normal_(coupling.body[-1].weight)
    x = torch.randn(3, dtype=torch.float64)
    y, log_det = coupling(x)
    back, log_det_inverse = coupling.inverse(y)
    jacobian = torch.autograd.functional.jacobian(lambda v: coupling(v)[0], x)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(log_det, jacobian.det().abs().log())
    torch.testing.assert_close(log_det_inverse, -log_det)


def test_gradient_reaches_every_layer_and_the_sample() -> None:
    prior = make((2, 2))
    z = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    value = prior().log_prob(z)
    assert value.shape == (3, 4)
    value.sum().backward()
    assert z.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in prior.parameters())


def test_rate_is_monte_carlo_and_unbiased_at_the_start() -> None:
    prior = make((2,), bent=False)
    mean = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    q = DiagonalNormal(mean, torch.full_like(mean, -1.0))
    rate = estimators.rate(Latent(q, prior(), q.rsample((50_000,))))
    assert not rate.exact
    exact = torch.distributions.kl_divergence(q, StandardNormal((2,)))
    assert rate.value.mean().item() == pytest.approx(exact.item(), abs=0.02)


def test_state_round_trip_and_determinism() -> None:
    prior, other = make((3,)), make((3,), bent=False)
    other.load_state_dict(prior.state_dict())
    torch.manual_seed(3)
    first = prior().sample((4,))
    torch.manual_seed(3)
    assert torch.equal(first, other().sample((4,)))


def test_learns_a_bent_density() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(FlowOptions(layers=4, width=32), LatentSpec((2,)), IMAGE)
    angle = 6.2832 * torch.rand(512)
    ring = torch.stack([angle.cos(), angle.sin()], -1) * 2 + 0.1 * torch.randn(512, 2)
    before = prior.nll(ring).mean().item()
    optimizer = torch.optim.Adam(prior.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = prior.nll(ring).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < before - 1.0
