"""Every equation of docs/theory.md, confirmed numerically in float64 against a closed form or automatic differentiation.

Most use the linear-Gaussian model x|z ~ N(Wz + b, s²I), whose evidence, posterior and elbo are all known exactly.
Its W has orthogonal columns, so that the posterior is diagonal and an encoder can match it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.randomness import seeded
from genzoo.types import Latent, ModelOutput

MEAN = torch.tensor([[0.3, -1.2, 2.0], [0.0, 0.5, -0.7]], dtype=torch.float64)
DEVIATION = torch.tensor([[0.5, 1.0, 2.5], [0.1, 1.7, 0.9]], dtype=torch.float64)


@dataclass(frozen=True)
class LinearGaussian:
    """x|z ~ N(Wz + b, s²I) with z ~ N(0, I): three latents, an image of 2 × 3 pixels."""

    weight: Tensor
    bias: Tensor
    noise: float

    @property
    def evidence(self) -> MultivariateNormal:
        """log p(x) of equation 3 in closed form: N(b, WWᵀ + s²I)."""
        covariance = self.weight @ self.weight.T + self.noise**2 * torch.eye(len(self.bias), dtype=torch.float64)
        return MultivariateNormal(self.bias, covariance)

    def posterior(self, image: Tensor) -> DiagonalNormal:
        """p(z|x), diagonal because the columns of W are orthogonal."""
        precision = 1 + self.weight.square().sum(0) / self.noise**2
        mean = (image.flatten(1) - self.bias) @ self.weight / self.noise**2 / precision
        return DiagonalNormal(mean, -precision.log().expand_as(mean))

    def output(self, posterior: DiagonalNormal, samples: int) -> ModelOutput:
        z = posterior.rsample(torch.Size([samples]))
        mean = (z @ self.weight.T + self.bias).unflatten(-1, (1, 2, 3))
        latent = Latent(posterior, StandardNormal((3,), dtype=torch.float64), z)
        return ModelOutput((latent,), Independent(Normal(mean, self.noise, validate_args=False), 3))

    def elbo(self, image: Tensor, q: DiagonalNormal) -> Tensor:
        """Equation 4 without sampling: both expectations are quadratic in z."""
        residual = image.flatten(1) - q.mean @ self.weight.T - self.bias
        squared = residual.square().sum(-1) + (q.variance * self.weight.square().sum(0)).sum(-1)
        pixels = len(self.bias)
        likelihood = -0.5 * (squared / self.noise**2 + pixels * math.log(2 * math.pi * self.noise**2))
        return likelihood - 0.5 * (q.mean.square() + q.variance - q.log_variance - 1).sum(-1)


@pytest.fixture
def model() -> LinearGaussian:
    with seeded(1):
        columns = torch.linalg.qr(torch.randn(6, 3, dtype=torch.float64)).Q * torch.tensor([2.0, 1.0, 0.5]).double()
        return LinearGaussian(columns, torch.randn(6, dtype=torch.float64), 0.7)


@pytest.fixture
def image() -> Tensor:
    with seeded(2):
        return torch.randn(4, 1, 2, 3, dtype=torch.float64)


@pytest.fixture
def wrong_posterior(model: LinearGaussian, image: Tensor) -> DiagonalNormal:
    """An encoder that is off in mean and in width."""
    exact = model.posterior(image)
    return DiagonalNormal(exact.mean + 0.2, exact.log_variance + 0.3)


def posterior(mean: Tensor = MEAN, deviation: Tensor = DEVIATION) -> DiagonalNormal:
    return DiagonalNormal(mean, 2 * deviation.log())


def rate(q: DiagonalNormal) -> Tensor:
    """The library's rate of q against N(0, I), [B]."""
    prior = StandardNormal(tuple(q.event_shape), dtype=torch.float64)
    result = estimators.rate(Latent(q, prior, q.rsample(torch.Size([1]))))
    assert result.exact
    return result.value[0]


def standard_error(draws: Tensor) -> Tensor:
    return draws.std(0) / math.sqrt(draws.shape[0])


# The evidence lower bound


def test_equation_4_the_elbo_bounds_the_evidence(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    evidence = model.evidence.log_prob(image.flatten(1))
    with seeded(3):
        draws = estimators.elbo(model.output(wrong_posterior, 20_000), image)
    torch.testing.assert_close(draws.mean(0), model.elbo(image, wrong_posterior), atol=0.05, rtol=0)
    assert (draws.mean(0) + 4 * standard_error(draws) < evidence).all()


def test_equation_7_the_mean_weight_is_the_evidence(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    evidence = model.evidence.log_prob(image.flatten(1))
    with seeded(4):
        weights = (estimators.log_weights(model.output(wrong_posterior, 20_000), image) - evidence).exp()
    error = (weights.mean(0) - 1).abs()
    assert (error < 4 * standard_error(weights)).all()
    assert (error < 0.05).all()


def test_equation_7_every_weight_is_the_evidence_under_the_true_posterior(model: LinearGaussian, image: Tensor) -> None:
    with seeded(5):
        weights = estimators.log_weights(model.output(model.posterior(image), 7), image)
    evidence = model.evidence.log_prob(image.flatten(1))
    torch.testing.assert_close(weights, evidence.expand(7, -1), atol=1e-10, rtol=0)


def test_equation_8_jensen_on_the_same_draws(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    with seeded(6):
        weights = estimators.log_weights(model.output(wrong_posterior, 50), image)
    assert (weights.mean(0) < estimators.importance_weighted_bound(weights)).all()


def test_equation_10_the_mean_log_weight_is_the_elbo(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    with seeded(7):
        weights = estimators.log_weights(model.output(wrong_posterior, 20_000), image)
    error = (weights.mean(0) - model.elbo(image, wrong_posterior)).abs()
    assert (error < 4 * standard_error(weights)).all()


def test_equation_16_evidence_is_elbo_plus_gap(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    evidence = model.evidence.log_prob(image.flatten(1))
    gap = kl_divergence(wrong_posterior, model.posterior(image))
    assert (gap > 0.1).all()
    torch.testing.assert_close(model.elbo(image, wrong_posterior) + gap, evidence, atol=1e-10, rtol=0)
    with seeded(8):
        draws = estimators.elbo(model.output(wrong_posterior, 20_000), image)
    assert ((draws.mean(0) + gap - evidence).abs() < 4 * standard_error(draws)).all()


def test_equation_16_the_gap_closes_at_the_true_posterior(model: LinearGaussian, image: Tensor) -> None:
    exact = model.elbo(image, model.posterior(image))
    torch.testing.assert_close(exact, model.evidence.log_prob(image.flatten(1)), atol=1e-10, rtol=0)


# The rate of a Gaussian posterior


def test_equation_17_closed_form_rate() -> None:
    expected = 0.5 * (MEAN**2 + DEVIATION**2 - torch.log(DEVIATION**2) - 1).sum(-1)
    torch.testing.assert_close(rate(posterior()), expected, atol=1e-12, rtol=0)


def test_equation_17_agrees_with_torch_and_is_zero_at_the_prior() -> None:
    reference = kl_divergence(
        Independent(Normal(MEAN, DEVIATION), 1), Independent(Normal(torch.zeros_like(MEAN), torch.ones_like(MEAN)), 1)
    )
    torch.testing.assert_close(rate(posterior()), reference, atol=1e-12, rtol=0)
    assert rate(posterior(torch.zeros_like(MEAN), torch.ones_like(MEAN))).abs().max() == 0


def test_equation_18_monte_carlo_rate() -> None:
    q = posterior()
    with seeded(9):
        z = q.rsample(torch.Size([50_000]))
    draws = estimators.log_ratio(Latent(q, StandardNormal((3,), dtype=torch.float64), z))
    assert ((draws.mean(0) - rate(q)).abs() < 4 * standard_error(draws)).all()


def test_equation_18_by_quadrature() -> None:
    mean, deviation = torch.tensor([[0.8]]).double(), torch.tensor([[0.6]]).double()
    q = posterior(mean, deviation)
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64).reshape(-1, 1, 1)
    ratio = estimators.log_ratio(Latent(q, StandardNormal((1,), dtype=torch.float64), z))
    integral = torch.trapezoid(q.log_prob(z).exp() * ratio, z[:, :, 0], dim=0)
    torch.testing.assert_close(integral, rate(q), atol=1e-9, rtol=0)


def test_equation_19_entropy_and_second_moment() -> None:
    q = posterior()
    negative_entropy = -0.5 * (1 + torch.log(DEVIATION**2)).sum(-1)
    log_2pi = 3 * math.log(2 * math.pi)
    torch.testing.assert_close(-q.entropy() + 0.5 * log_2pi, negative_entropy, atol=1e-12, rtol=0)
    second_moment = 0.5 * (MEAN**2 + DEVIATION**2).sum(-1)
    torch.testing.assert_close(negative_entropy + second_moment, rate(q), atol=1e-12, rtol=0)


def test_equation_22_gradient_in_the_mean() -> None:
    mean = MEAN.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(rate(posterior(mean)).sum(), mean)
    torch.testing.assert_close(gradient, MEAN, atol=1e-12, rtol=0)


def test_equation_23_gradient_in_the_deviation() -> None:
    deviation = DEVIATION.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(rate(posterior(deviation=deviation)).sum(), deviation)
    torch.testing.assert_close(gradient, (DEVIATION**2 - 1) / DEVIATION, atol=1e-12, rtol=0)


def test_equation_23_by_the_chain_rule_in_log_variance() -> None:
    log_variance = (2 * DEVIATION.log()).requires_grad_()
    (gradient,) = torch.autograd.grad(rate(DiagonalNormal(MEAN, log_variance)).sum(), log_variance)
    by_chain_rule = (DEVIATION - 1 / DEVIATION) * DEVIATION / 2
    torch.testing.assert_close(gradient, by_chain_rule, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient, (DEVIATION**2 - 1) / 2, atol=1e-12, rtol=0)
    assert (gradient > -0.5).all()


# Reparameterization


def draw(mean: Tensor, deviation: Tensor, samples: int = 1) -> tuple[Tensor, Tensor]:
    """A draw, and the noise that it was made of."""
    with seeded(10):
        noise = torch.randn(samples, *mean.shape, dtype=torch.float64)
    with seeded(10):
        return posterior(mean, deviation).rsample(torch.Size([samples])), noise


def test_equation_24_the_draw() -> None:
    z, noise = draw(MEAN, DEVIATION)
    torch.testing.assert_close(z, MEAN + DEVIATION * noise, atol=1e-12, rtol=0)


def test_equation_24_moments() -> None:
    z, _ = draw(MEAN, DEVIATION, 50_000)
    assert ((z.mean(0) - MEAN).abs() < 4 * standard_error(z)).all()
    torch.testing.assert_close(z.std(0), DEVIATION, atol=0, rtol=0.02)


def test_equation_25_jacobian_in_the_mean() -> None:
    jacobian = torch.autograd.functional.jacobian(lambda mean: draw(mean, DEVIATION[0])[0][0], MEAN[0])
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_equation_26_jacobian_in_the_deviation() -> None:
    jacobian = torch.autograd.functional.jacobian(lambda deviation: draw(MEAN[0], deviation)[0][0], DEVIATION[0])
    _, noise = draw(MEAN[0], DEVIATION[0])
    torch.testing.assert_close(jacobian, torch.diag(noise[0]), atol=1e-12, rtol=0)


def test_the_pathwise_gradient_is_unbiased() -> None:
    """E[z²] = μ² + σ², so that its gradients are 2μ and 2σ."""
    mean, deviation = MEAN.clone().requires_grad_(), DEVIATION.clone().requires_grad_()
    z, _ = draw(mean, deviation, 50_000)
    in_mean, in_deviation = torch.autograd.grad(z.square().mean(0).sum(), (mean, deviation))
    torch.testing.assert_close(in_mean, 2 * MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(in_deviation, 2 * DEVIATION, atol=0.1, rtol=0)


# The importance-weighted bound


def test_the_importance_weighted_bound_tightens(
    model: LinearGaussian, image: Tensor, wrong_posterior: DiagonalNormal
) -> None:
    """Equation 8 of Burda et al. 2016: K = 1 is the elbo, more draws never hurt, the limit is the evidence."""
    with seeded(11):
        weights = estimators.log_weights(model.output(wrong_posterior, 32_000), image)
    bounds = [
        estimators.importance_weighted_bound(weights.unflatten(0, (-1, k)), dim=1).mean(0) for k in (1, 4, 16, 64)
    ]
    torch.testing.assert_close(bounds[0], model.elbo(image, wrong_posterior), atol=0.05, rtol=0)
    assert all((looser < tighter).all() for looser, tighter in itertools.pairwise(bounds))
    evidence = model.evidence.log_prob(image.flatten(1))
    assert (bounds[0] < evidence - 0.05).all()
    torch.testing.assert_close(bounds[-1], evidence, atol=0.02, rtol=0)
