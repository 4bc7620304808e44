"""A linear-Gaussian VAE against its exact log-likelihood, in float64.

With p(z) = N(0, I) and p(x|z) = N(Wz + b, s²I), x is normal and so is the true posterior:
p(x) = N(b, WWᵀ + s²I) and p(z|x) = N(M⁻¹Wᵀ(x − b)/s², M⁻¹) with M = I + WᵀW/s². The columns of W are orthogonal here, so
that M is diagonal and a factorised posterior can be exact. The model is the VAE plugin with the Gaussian likelihood and
the standard-normal prior; only its network, linear maps, belongs to the test.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Network, Parts
from genzoo.options import NoOptions
from genzoo.types import Batch, ImageSpec, Shape
from genzoo_likelihoods.gaussian import Gaussian
from genzoo_likelihoods.options import GaussianOptions
from genzoo_losses.elbo import Elbo
from genzoo_losses.options import ElboOptions
from genzoo_priors.standard_normal import StandardNormalPrior
from genzoo_vae.options import VAEOptions
from genzoo_vae.vae import VAE

F64 = torch.float64
SIDE, LATENT, SCALE = 4, 3, 0.4
IMAGE = ImageSpec((1, SIDE, SIDE))


class Linear(Network):
    """One linear map each way."""

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input), math.prod(output)))

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        return nn.Sequential(nn.Linear(math.prod(input), math.prod(output)), nn.Unflatten(1, output))


class Exact:
    """The model, with the exact marginal and posterior of its decoder."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        likelihood = Gaussian(GaussianOptions(scale=SCALE))
        self.model = VAE(
            VAEOptions(latent_dim=LATENT),
            Parts(IMAGE, Linear(NoOptions()), likelihood, lambda z: StandardNormalPrior(NoOptions(), z, IMAGE)),
        ).double()
        self.encoder, self.decoder = self.model.encoder[1], self.model.decoder[0]
        basis = torch.linalg.qr(torch.randn(IMAGE.pixels, LATENT, dtype=F64)).Q
        with torch.no_grad():
            self.decoder.weight.copy_(basis * torch.tensor([1.5, 0.8, 0.3], dtype=F64))
        self.weight, self.bias = self.decoder.weight.detach(), self.decoder.bias.detach()
        self.precision = 1 + (self.weight.T @ self.weight).diagonal() / SCALE**2
        covariance = self.weight @ self.weight.T + SCALE**2 * torch.eye(IMAGE.pixels, dtype=F64)
        self.marginal = MultivariateNormal(self.bias, covariance)

    def images(self, n: int) -> Batch:
        return Batch(self.marginal.sample(torch.Size([n])).reshape(n, *IMAGE.shape))

    def log_likelihood(self, batch: Batch) -> Tensor:
        return self.marginal.log_prob(batch.image.flatten(1))

    def posterior(self, batch: Batch) -> DiagonalNormal:
        mean = (batch.image.flatten(1) - self.bias) @ self.weight / SCALE**2 / self.precision
        return DiagonalNormal(mean, (-self.precision.log()).expand_as(mean))

    def make_encoder_exact(self) -> None:
        with torch.no_grad():
            to_mean = (self.weight / SCALE**2 / self.precision).T
            self.encoder.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
            self.encoder.bias.copy_(torch.cat([-to_mean @ self.bias, -self.precision.log()]))

    def exact_elbo(self, batch: Batch) -> Tensor:
        """The ELBO without sampling: E_q|x − Wz − b|² = |x − Wμ − b|² + tr(W Σ Wᵀ)."""
        latent = self.model.encode(batch).latents[0]
        mean, variance = latent.posterior.mean, latent.posterior.variance
        residual = (batch.image.flatten(1) - mean @ self.weight.T - self.bias).square().sum(1)
        spread = variance @ self.weight.square().sum(0)
        constant = IMAGE.pixels * math.log(2 * math.pi * SCALE**2) / 2
        return -(residual + spread) / (2 * SCALE**2) - constant - estimators.rate(latent).value[0]


@pytest.fixture
def exact() -> Exact:
    return Exact()


def test_the_sampled_elbo_has_the_exact_ones_mean(exact: Exact) -> None:
    batch = exact.images(8)
    sampled = estimators.elbo(exact.model(batch, samples=20_000), batch.image)
    error = sampled.std(0) / math.sqrt(20_000)
    assert ((sampled.mean(0) - exact.exact_elbo(batch)).abs() < 5 * error).all()


def test_the_elbo_is_below_the_log_likelihood_by_the_kl_to_the_true_posterior(exact: Exact) -> None:
    """Equation 16 of the report."""
    batch = exact.images(64)
    gap = exact.log_likelihood(batch) - exact.exact_elbo(batch)
    assert (gap > 0).all()
    torch.testing.assert_close(
        gap, kl_divergence(exact.model.encode(batch).latents[0].posterior, exact.posterior(batch))
    )


def test_at_the_true_posterior_the_elbo_is_the_log_likelihood(exact: Exact) -> None:
    exact.make_encoder_exact()
    batch = exact.images(64)
    torch.testing.assert_close(exact.exact_elbo(batch), exact.log_likelihood(batch), rtol=1e-12, atol=1e-11)


def test_at_the_true_posterior_every_importance_weight_is_the_likelihood(exact: Exact) -> None:
    exact.make_encoder_exact()
    batch = exact.images(64)
    weights = estimators.log_weights(exact.model(batch, samples=5), batch.image)
    expected = exact.log_likelihood(batch).expand(5, 64)
    torch.testing.assert_close(weights, expected, rtol=1e-11, atol=1e-10)


def test_the_importance_weighted_bound_rises_to_the_log_likelihood(exact: Exact) -> None:
    exact.make_encoder_exact()
    with torch.no_grad():
        exact.encoder.bias[:LATENT] += 0.3
        exact.encoder.bias[LATENT:] += 0.5
    batch = exact.images(16)
    truth = exact.log_likelihood(batch).mean().item()
    weights = estimators.log_weights(exact.model(batch, samples=20_000), batch.image)
    bounds: list[float] = []
    for k in (1, 4, 20, 100, 1000):
        grouped = weights.reshape(-1, k, len(batch))
        bounds.append(estimators.importance_weighted_bound(grouped, dim=1).mean().item())
    assert bounds == sorted(bounds)
    assert bounds[0] == pytest.approx(exact.exact_elbo(batch).mean().item(), abs=0.02)
    assert bounds[0] < truth - 0.5
    assert bounds[-1] == pytest.approx(truth, abs=0.01)


def test_training_the_encoder_finds_the_true_posterior(exact: Exact) -> None:
    batch = exact.images(128)
    before = (exact.log_likelihood(batch) - exact.exact_elbo(batch)).mean().item()
    optimizer = torch.optim.Adam(exact.encoder.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.001, 500)
    loss = Elbo(ElboOptions())
    for _ in range(500):
        optimizer.zero_grad()
        loss(exact.model(batch), batch).objective.backward()
        optimizer.step()
        schedule.step()
    gap = (exact.log_likelihood(batch) - exact.exact_elbo(batch)).mean().item()
    assert before > 1
    assert 0 <= gap < 0.06


def test_the_closed_form_rate_is_the_mean_of_the_monte_carlo_one(exact: Exact) -> None:
    batch = exact.images(8)
    latent = exact.model.encode(batch, samples=50_000).latents[0]
    closed, sampled = estimators.rate(latent), estimators.log_ratio(latent)
    assert closed.exact
    error = sampled.std(0) / math.sqrt(50_000)
    assert ((sampled.mean(0) - closed.value[0]).abs() < 5 * error).all()


def test_the_likelihood_keeps_its_constants(exact: Exact) -> None:
    batch = exact.images(8)
    z = torch.randn(8, LATENT, dtype=F64)
    oracle = Independent(Normal((z @ exact.weight.T + exact.bias).reshape(8, *IMAGE.shape), SCALE), 3)
    torch.testing.assert_close(exact.model.decode([z]).log_prob(batch.image), oracle.log_prob(batch.image))
