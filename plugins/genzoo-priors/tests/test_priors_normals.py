"""The standard-normal and mixture priors: densities, draws, dtype and device, learning."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.distributions import Independent, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Prior
from genzoo.options import NoOptions
from genzoo.types import ImageSpec, Latent, LatentSpec
from genzoo_priors.mixture import MixturePrior
from genzoo_priors.options import MixtureOptions
from genzoo_priors.standard_normal import StandardNormalPrior

IMAGE = ImageSpec((1, 8, 8))


def make(name: str, shape: tuple[int, ...]) -> Prior:
    torch.manual_seed(0)
    if name == "mixture":
        return MixturePrior(MixtureOptions(components=4), LatentSpec(shape), IMAGE)
    return StandardNormalPrior(NoOptions(), LatentSpec(shape), IMAGE)


@pytest.mark.parametrize("name", ["standard-normal", "mixture"])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 2, 2)])
class TestEvery:
    def test_shapes(self, name: str, shape: tuple[int, ...]) -> None:
        p = make(name, shape)()
        assert (p.batch_shape, p.event_shape) == ((), shape)
        assert p.sample(torch.Size([7])).shape == (7, *shape)
        assert p.log_prob(torch.zeros(2, 7, *shape)).shape == (2, 7)

    def test_a_density_by_importance_sampling(self, name: str, shape: tuple[int, ...]) -> None:
        prior = make(name, shape).double()
        torch.manual_seed(1)
        wide = Independent(Normal(torch.zeros(shape, dtype=torch.float64), 2.0), len(shape))
        drawn = wide.sample(torch.Size([200_000]))
        weights = (prior().log_prob(drawn) - wide.log_prob(drawn)).exp()
        assert abs(weights.mean() - 1) < 5 * weights.std() / 200_000**0.5

    def test_draws_have_its_mean(self, name: str, shape: tuple[int, ...]) -> None:
        p = make(name, shape)()
        torch.manual_seed(1)
        torch.testing.assert_close(p.sample(torch.Size([50_000])).mean(0), p.mean, rtol=0, atol=0.05)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_the_dtype_follows_the_module(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        assert make(name, shape).to(dtype)().sample().dtype == dtype

    def test_the_device_follows_the_module(self, name: str, shape: tuple[int, ...]) -> None:
        assert make(name, shape).to("meta")().sample(torch.Size([2])).device.type == "meta"

    def test_it_survives_pickle_and_a_state_dict(self, name: str, shape: tuple[int, ...]) -> None:
        prior = make(name, shape)
        copy = pickle.loads(pickle.dumps(prior))
        copy.load_state_dict(prior.state_dict())
        value = torch.randn(7, *shape)
        assert torch.equal(copy().log_prob(value), prior().log_prob(value))


def test_the_standard_normal_has_nothing_to_learn_or_store() -> None:
    prior = make("standard-normal", (5,))
    assert not list(prior.parameters())
    assert not prior.state_dict()


def test_the_mixture_is_the_sum_of_its_normals() -> None:
    prior = make("mixture", (5,)).double()
    torch.nn.init.normal_(prior.logits)
    torch.nn.init.normal_(prior.log_variance)
    value = torch.randn(7, 5, dtype=torch.float64)
    total = torch.zeros(7, dtype=torch.float64)
    for weight, mean, log_variance in zip(prior.logits.softmax(0), prior.mean, prior.log_variance, strict=True):
        total += weight * Normal(mean, (log_variance / 2).exp()).log_prob(value).sum(-1).exp()
    torch.testing.assert_close(prior().log_prob(value), total.log(), rtol=1e-12, atol=1e-12)


def test_the_rate_against_a_mixture_is_monte_carlo_and_against_the_normal_exact() -> None:
    posterior = DiagonalNormal(torch.zeros(7, 5), torch.zeros(7, 5))
    sample = posterior.rsample(torch.Size([2]))
    for name, exact in (("standard-normal", True), ("mixture", False)):
        rate = estimators.rate(Latent(posterior, make(name, (5,))(), sample))
        assert rate.exact is exact
        assert rate.value.shape == (2, 7)


def test_the_mixture_fits_two_clusters() -> None:
    torch.manual_seed(0)
    prior = MixturePrior(MixtureOptions(components=2), LatentSpec((2,)), IMAGE)
    side = torch.randint(0, 2, (512, 1)) * 2.0 - 1
    value = 4 * side + 0.5 * torch.randn(512, 2)
    optimizer = torch.optim.Adam(prior.parameters(), 0.1)
    for _ in range(500):
        optimizer.zero_grad()
        prior.nll(value).mean().backward()
        optimizer.step()
    assert prior.mean[:, 0].sort().values.tolist() == pytest.approx([-4, 4], abs=0.2)
    assert prior.log_variance.exp().sqrt().mean().item() == pytest.approx(0.5, abs=0.1)


def test_equal_components_stay_equal_and_spread_ones_do_not() -> None:
    assert MixturePrior(MixtureOptions(spread=0), LatentSpec((2,)), IMAGE).mean.abs().max() == 0
    assert make("mixture", (2,)).mean.std() > 0.3
