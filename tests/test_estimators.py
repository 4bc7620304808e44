"""Rates, distortion, ELBO and importance-weighted bounds against torch.distributions and each other, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, Laplace, MixtureSameFamily, Normal, kl_divergence

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.types import Latent, ModelOutput

F64 = torch.float64
K, B, D = 4, 6, 3


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def latent(samples: int = K) -> Latent:
    posterior = DiagonalNormal(torch.randn(B, D, dtype=F64), torch.randn(B, D, dtype=F64))
    return Latent(posterior, StandardNormal((D,), dtype=F64), posterior.rsample(torch.Size([samples])))


def torchs(normal: DiagonalNormal) -> Independent:
    return Independent(Normal(normal.mean, normal.stddev), 1)


def output(*latents: Latent) -> ModelOutput:
    samples = latents[0].sample.shape[0]
    likelihood = Independent(Bernoulli(logits=torch.randn(samples, B, 1, 4, 4, dtype=F64), validate_args=False), 3)
    return ModelOutput(latents, likelihood)


def test_the_rate_is_torchs_closed_form_for_every_sample() -> None:
    one = latent()
    rate = estimators.rate(one)
    assert rate.exact
    oracle = kl_divergence(torchs(one.posterior), torchs(one.prior))
    torch.testing.assert_close(rate.value, oracle.expand(K, B))


@pytest.mark.parametrize("posterior_batch", [(B,), (K, B)])
@pytest.mark.parametrize("prior_batch", [(), (B,), (K, B)])
def test_rates_have_the_samples_leading_shape(posterior_batch: tuple[int, ...], prior_batch: tuple[int, ...]) -> None:
    posterior = DiagonalNormal(torch.randn(*posterior_batch, D), torch.randn(*posterior_batch, D))
    prior = DiagonalNormal(torch.randn(*prior_batch, D), torch.randn(*prior_batch, D))
    one = Latent(posterior, prior, torch.randn(K, B, D))
    assert estimators.rate(one).value.shape == (K, B)
    assert estimators.log_ratio(one).shape == (K, B)


def test_without_a_closed_form_the_rate_is_the_log_ratio_and_says_so() -> None:
    one = latent()
    mixture = MixtureSameFamily(
        Categorical(torch.ones(2, dtype=F64)),
        DiagonalNormal(torch.randn(2, D, dtype=F64), torch.zeros(2, D, dtype=F64)),
    )
    against = Latent(one.posterior, mixture, one.sample)
    rate = estimators.rate(against)
    assert not rate.exact
    torch.testing.assert_close(rate.value, one.posterior.log_prob(one.sample) - mixture.log_prob(one.sample))
    assert estimators.rate_per_dimension(against) is None


def test_a_mixture_of_one_normal_has_the_closed_forms_rate_on_average() -> None:
    one = latent(50_000)
    single = MixtureSameFamily(
        Categorical(torch.ones(1, dtype=F64)), torchs(DiagonalNormal(*torch.zeros(2, 1, D, dtype=F64)))
    )
    sampled = estimators.rate(Latent(one.posterior, single, one.sample)).value
    exact = estimators.rate(one).value[0]
    assert ((sampled.mean(0) - exact).abs() < 5 * sampled.std(0) / 50_000**0.5).all()


def test_rates_a_dimension_sum_to_the_rate() -> None:
    one = latent()
    each = estimators.rate_per_dimension(one)
    assert each is not None
    assert each.shape == (B, D)
    torch.testing.assert_close(each.sum(-1), estimators.rate(one).value[0])


def test_distortion_is_the_negative_log_likelihood() -> None:
    out, image = output(latent()), torch.rand(B, 1, 4, 4, dtype=F64)
    logits = out.likelihood.base_dist.logits
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, image.expand_as(logits), reduction="none"
    )
    torch.testing.assert_close(estimators.distortion(out, image), cross_entropy.sum((2, 3, 4)))


def test_the_elbo_counts_the_rate_of_every_level() -> None:
    out, image = output(latent(), latent()), torch.rand(B, 1, 4, 4, dtype=F64)
    expected = -estimators.distortion(out, image)
    for one in out.latents:
        expected = expected - kl_divergence(torchs(one.posterior), torchs(one.prior))
    torch.testing.assert_close(estimators.elbo(out, image), expected)
    assert [rate.exact for rate in estimators.rates(out.latents)] == [True, True]


def test_log_weights_are_joint_over_posterior_at_every_level() -> None:
    out, image = output(latent(), latent()), torch.rand(B, 1, 4, 4, dtype=F64)
    expected = out.likelihood.log_prob(image)
    for one in out.latents:
        expected = expected + torchs(one.prior).log_prob(one.sample) - torchs(one.posterior).log_prob(one.sample)
    torch.testing.assert_close(estimators.log_weights(out, image), expected)


def test_the_mean_log_weight_is_the_elbo_on_average() -> None:
    out, image = output(latent(50_000)), torch.rand(B, 1, 4, 4, dtype=F64)
    gap = estimators.log_weights(out, image) - estimators.elbo(out, image)
    assert (gap.mean(0).abs() < 5 * gap.std(0) / 50_000**0.5).all()


def test_the_bound_is_the_log_of_the_mean_weight() -> None:
    weights = torch.randn(K, B, dtype=F64)
    torch.testing.assert_close(estimators.importance_weighted_bound(weights), weights.exp().mean(0).log())
    torch.testing.assert_close(estimators.importance_weighted_bound(weights.T, dim=1), weights.exp().mean(0).log())


def test_one_sample_gives_the_weight_itself_and_equal_weights_gain_nothing() -> None:
    weights = torch.randn(1, B, dtype=F64)
    torch.testing.assert_close(estimators.importance_weighted_bound(weights), weights[0])
    torch.testing.assert_close(estimators.importance_weighted_bound(weights.expand(K, B)), weights[0])


def test_the_bound_is_between_the_mean_and_the_greatest_weight() -> None:
    weights = 10 * torch.randn(K, B, dtype=F64)
    bound = estimators.importance_weighted_bound(weights)
    assert (bound >= weights.mean(0)).all()
    assert (bound <= weights.max(0).values).all()
    assert (bound >= weights.max(0).values - math.log(K)).all()


def test_the_bound_survives_weights_whose_exponential_does_not() -> None:
    weights = torch.tensor([[-9000.0], [-9001.0]], dtype=F64)
    expected = -9000 + math.log((1 + math.exp(-1)) / 2)
    assert estimators.importance_weighted_bound(weights).item() == pytest.approx(expected, rel=1e-14)


def test_a_rate_torch_knows_is_exact_for_other_families_too() -> None:
    posterior = Independent(Laplace(torch.randn(B, D), torch.ones(B, D)), 1)
    prior = Independent(Laplace(torch.zeros(D), torch.ones(D)), 1).expand(torch.Size([B]))
    rate = estimators.rate(Latent(posterior, prior, posterior.rsample(torch.Size([K]))))
    assert rate.exact
    assert rate.value.shape == (K, B)


def test_a_categorical_latent_with_a_uniform_prior() -> None:
    logits = torch.randn(B, 7, 7, 5, dtype=F64)
    posterior = Independent(Categorical(logits=logits), 2)
    prior = Independent(Categorical(logits=torch.zeros(7, 7, 5, dtype=F64)), 2)
    one = Latent(posterior, prior, posterior.sample(torch.Size([K])))
    rate: Tensor = estimators.rate(one).value
    assert rate.shape == (K, B)
    torch.testing.assert_close(rate[0], 49 * math.log(5) - posterior.entropy())
