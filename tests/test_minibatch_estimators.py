"""The minibatch estimators of log q(z) and of the product of its marginals, against a known aggregate posterior."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import UsageError
from genzoo.estimators import aggregate_posterior
from genzoo.randomness import seeded
from genzoo.types import Latent

Sampling = Literal["weighted", "stratified"]
BOTH: tuple[Sampling, Sampling] = ("weighted", "stratified")


def latent(mean: Tensor, log_variance: Tensor, samples: int = 1) -> Latent:
    posterior = DiagonalNormal(mean, log_variance)
    return Latent(posterior, StandardNormal(mean.shape[1:], dtype=mean.dtype), posterior.rsample((samples,)))


def posteriors(images: int, dims: int = 3) -> tuple[Tensor, Tensor]:
    """Means and log-variances of a data set's posteriors, correlated over dimensions."""
    mean = torch.randn(images, dims, dtype=torch.float64)
    mean[:, 1] = 0.8 * mean[:, 0] + 0.6 * mean[:, 1]
    return mean, 0.3 * torch.randn(images, dims, dtype=torch.float64) - 0.5


def mixture(mean: Tensor, log_variance: Tensor) -> MixtureSameFamily:
    parts = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(mean), dtype=mean.dtype)), parts)


def test_shapes_follow_samples_and_images() -> None:
    with seeded(0):
        one = latent(*posteriors(5), samples=4)
    for sampling in BOTH:
        found = aggregate_posterior(one, 50, sampling)
        assert found.joint.shape == found.product.shape == (4, 5)


@pytest.mark.parametrize("sampling", BOTH)
def test_agrees_with_a_loop_over_images(sampling: Sampling) -> None:
    size = 40
    with seeded(1):
        one = latent(*posteriors(6), samples=2)
    found = aggregate_posterior(one, size, sampling)
    mean, scale = one.posterior.mean, one.posterior.stddev
    for k in range(2):
        for i in range(6):
            joint, product = torch.zeros(()), torch.zeros(3)
            for j in range(6):
                if sampling == "weighted":
                    weight = 1 / (size * 6)
                else:
                    weight = {0: 1 / size, 1: (size - 5) / (size * 5)}.get((j - i) % 6, 1 / 5)
                density = Normal(mean[j], scale[j]).log_prob(one.sample[k, i]).exp()
                joint = joint + weight * density.prod()
                product = product + weight * density
            assert found.joint[k, i].item() == pytest.approx(joint.log().item(), abs=1e-6)
            assert found.product[k, i].item() == pytest.approx(product.log().sum().item(), abs=1e-6)


def test_a_posterior_a_sample_agrees_with_a_shared_one() -> None:
    with seeded(2):
        one = latent(*posteriors(5), samples=3)
    each = Latent(one.posterior.expand((3, 5)), one.prior, one.sample)
    for sampling in BOTH:
        expected, found = aggregate_posterior(one, 9, sampling), aggregate_posterior(each, 9, sampling)
        torch.testing.assert_close(found.joint, expected.joint)
        torch.testing.assert_close(found.product, expected.product)


def test_spatial_latents_agree_with_flat_ones() -> None:
    with seeded(3):
        flat = latent(*posteriors(5, 8), samples=2)
    shape = (2, 2, 2)
    mean, log_variance = flat.posterior.mean.reshape(5, *shape), flat.posterior.log_variance.reshape(5, *shape)
    spatial = Latent(
        DiagonalNormal(mean, log_variance, event_dims=3), StandardNormal(shape), flat.sample.reshape(2, 5, *shape)
    )
    for sampling in BOTH:
        expected, found = aggregate_posterior(flat, 9, sampling), aggregate_posterior(spatial, 9, sampling)
        torch.testing.assert_close(found.joint, expected.joint)
        torch.testing.assert_close(found.product, expected.product)


def test_stratified_sampling_is_unbiased_for_the_known_aggregate() -> None:
    """The mean of the estimated density of one z, over random companions in its batch, is the mixture's density."""
    size, images, draws = 30, 5, 6000
    with seeded(4):
        mean, log_variance = posteriors(size)
        z = mean[0] + 0.4
        densities = []
        for _ in range(draws):
            index = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(size - 1)[: images - 1]])
            posterior = DiagonalNormal(mean[index], log_variance[index])
            one = Latent(posterior, StandardNormal((3,)), z.expand(1, images, 3))
            densities.append(aggregate_posterior(one, size, "stratified").joint[0, 0].exp())
    found = torch.stack(densities)
    expected = mixture(mean, log_variance).log_prob(z).exp()
    error = (found.std() / math.sqrt(draws)).item()
    assert found.mean().item() == pytest.approx(expected.item(), abs=4 * error)
    assert error < 0.02 * expected.item()


def test_the_whole_data_set_as_one_batch_gives_the_aggregate_of_a_known_gaussian() -> None:
    """Means drawn from N(0, Σ − ½I) with variance ½ make an aggregate that tends to N(0, Σ)."""
    covariance = torch.tensor([[1.5, 0.7], [0.7, 1.5]], dtype=torch.float64)
    size = 2000
    with seeded(5):
        spread = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance - 0.5 * torch.eye(2))
        mean = spread.sample((size,))
        one = latent(mean, torch.full_like(mean, math.log(0.5)))
    truth = MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance).log_prob(one.sample)
    marginal = Normal(0.0, math.sqrt(1.5)).log_prob(one.sample).sum(-1)
    found = aggregate_posterior(one, size, "stratified")
    assert (found.joint - truth).mean().item() == pytest.approx(0, abs=0.02)
    assert (found.product - marginal).mean().item() == pytest.approx(0, abs=0.02)
    total_correlation = (found.joint - found.product).mean().item()
    assert total_correlation == pytest.approx(-0.5 * math.log(1 - (0.7 / 1.5) ** 2), abs=0.04)
    # The weighted one is far off even here, where the batch is the data set.
    weighted = aggregate_posterior(one, size, "weighted")
    assert (weighted.joint - truth).mean().item() == pytest.approx(-math.log(size), abs=0.03)


def test_collapse_reads_zero_when_stratified_and_log_n_a_dimension_when_weighted() -> None:
    size, dims = 737_280, 10
    with seeded(6):
        one = latent(torch.zeros(8, dims, dtype=torch.float64), torch.zeros(8, dims, dtype=torch.float64))
    exact = one.posterior.log_prob(one.sample)
    stratified, weighted = aggregate_posterior(one, size, "stratified"), aggregate_posterior(one, size, "weighted")
    torch.testing.assert_close(stratified.joint, exact)
    torch.testing.assert_close(stratified.product, exact)
    torch.testing.assert_close(weighted.joint, exact - math.log(size))
    found = (weighted.joint - weighted.product).mean().item()
    assert found == pytest.approx((dims - 1) * math.log(size))
    assert found == pytest.approx(121.6, abs=0.1)


def test_far_apart_posteriors_leave_the_own_image_alone() -> None:
    with seeded(7):
        mean = 100 * torch.arange(4, dtype=torch.float64)[:, None].expand(4, 2)
        one = latent(mean, torch.zeros_like(mean))
    own = one.posterior.log_prob(one.sample)
    torch.testing.assert_close(aggregate_posterior(one, 9, "stratified").joint, own - math.log(9))
    torch.testing.assert_close(aggregate_posterior(one, 9, "weighted").joint, own - math.log(9 * 4))


def test_one_image_alone_is_finite() -> None:
    with seeded(8):
        one = latent(*posteriors(1))
    torch.testing.assert_close(aggregate_posterior(one, 9, "stratified").joint, one.posterior.log_prob(one.sample))
    assert aggregate_posterior(one, 9, "weighted").joint.isfinite().all()


def test_refuses_a_small_data_set_and_a_posterior_that_does_not_factorise() -> None:
    with seeded(9):
        one = latent(*posteriors(4))
    with pytest.raises(UsageError, match="dataset_size must be at least the batch's 4, got 3"):
        aggregate_posterior(one, 3)
    full = MultivariateNormal(torch.zeros(4, 3), torch.eye(3))
    with pytest.raises(UsageError, match="must factorise over its dimensions, got MultivariateNormal"):
        aggregate_posterior(Latent(full, one.prior, one.sample), 9)
