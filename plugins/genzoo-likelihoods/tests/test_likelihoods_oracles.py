"""Every likelihood against torch.distributions or numerical integration, in float64, also at the extremes."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.distributions import Independent, Normal

from genzoo.errors import UsageError
from genzoo.interfaces import Likelihood
from genzoo.options import NoOptions
from genzoo.types import ImageSpec
from genzoo_likelihoods.bernoulli import Bernoulli
from genzoo_likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    ContinuousBernoulliFromLogits,
    log_normaliser,
)
from genzoo_likelihoods.gaussian import Gaussian
from genzoo_likelihoods.options import GaussianOptions

IMAGE = ImageSpec((3, 4, 5))


def every_likelihood() -> list[Likelihood]:
    learned = [GaussianOptions(scale=0.3, learn=learn) for learn in ("none", "global", "pixel")]
    return [Bernoulli(NoOptions()), ContinuousBernoulli(NoOptions()), *(Gaussian(options) for options in learned)]


def raw_of(likelihood: Likelihood, *leading: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(*leading, likelihood.channels(IMAGE), 4, 5, dtype=dtype)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("likelihood", every_likelihood(), ids=lambda x: f"{type(x).__name__}-{x.options}")
class TestEvery:
    def test_shapes(self, likelihood: Likelihood) -> None:
        p = likelihood(raw_of(likelihood, 2, 7))
        assert (p.batch_shape, p.event_shape) == ((2, 7), IMAGE.shape)
        assert p.log_prob(torch.rand(7, *IMAGE.shape)).shape == (2, 7)
        assert p.mean.shape == p.variance.shape == p.sample().shape == (2, 7, *IMAGE.shape)
        assert p.sample(torch.Size([6])).shape == (6, 2, 7, *IMAGE.shape)
        assert p.expand(torch.Size([5, 2, 7])).log_prob(torch.rand(7, *IMAGE.shape)).shape == (5, 2, 7)

    def test_what_it_shows_is_an_image(self, likelihood: Likelihood) -> None:
        p = likelihood(10 * raw_of(likelihood, 7))
        for image in (likelihood.display(p), likelihood.draw(p)):
            assert image.shape == (7, *IMAGE.shape)
            assert image.min() >= 0
            assert image.max() <= 1

    def test_draws_have_its_mean_and_variance(self, likelihood: Likelihood) -> None:
        p = likelihood(raw_of(likelihood))
        drawn = p.sample(torch.Size([20000]))
        tolerance = 5 * (p.variance / 20000).sqrt()
        assert ((drawn.mean(0) - p.mean).abs() <= tolerance + 1e-12).all()
        torch.testing.assert_close(drawn.var(0), p.variance, rtol=0.1, atol=1e-3)

    def test_half_precision_output_becomes_float32(self, likelihood: Likelihood) -> None:
        raw = raw_of(likelihood, 7, dtype=torch.float32).bfloat16()
        image = torch.rand(7, *IMAGE.shape)
        with torch.autocast("cpu", torch.bfloat16):
            value = likelihood(raw).log_prob(image)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, likelihood(raw.float()).log_prob(image))

    def test_gradients(self, likelihood: Likelihood) -> None:
        raw = raw_of(likelihood, 2).requires_grad_()
        image = torch.rand(2, *IMAGE.shape, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda value: likelihood(value).log_prob(image), raw)

    def test_it_survives_pickle_and_a_state_dict(self, likelihood: Likelihood) -> None:
        raw, image = raw_of(likelihood, 2), torch.rand(2, *IMAGE.shape)
        copy = pickle.loads(pickle.dumps(likelihood))
        copy.load_state_dict(likelihood.state_dict())
        assert torch.equal(copy(raw).log_prob(image), likelihood(raw).log_prob(image))

    def test_it_builds_on_meta(self, likelihood: Likelihood) -> None:
        p = likelihood.to("meta")(raw_of(likelihood, 2).to("meta"))
        assert p.log_prob(torch.rand(2, *IMAGE.shape, device="meta")).shape == (2,)
        likelihood.to_empty(device="cpu")
        if isinstance(likelihood, Gaussian) and likelihood.options.learn == "global":
            likelihood.load_state_dict(Gaussian(likelihood.options).state_dict())

    def test_a_vector_is_refused(self, likelihood: Likelihood) -> None:
        with pytest.raises(UsageError, match="raw must be"):
            likelihood(torch.zeros(3, 4))


def test_bernoulli_is_torchs() -> None:
    likelihood = Bernoulli(NoOptions())
    raw = raw_of(likelihood, 7)
    oracle = Independent(TorchBernoulli(logits=raw, validate_args=False), 3)
    p = likelihood(raw)
    for image in (torch.rand(7, *IMAGE.shape, dtype=torch.float64), oracle.sample()):
        torch.testing.assert_close(p.log_prob(image), oracle.log_prob(image), rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(p.mean, oracle.mean)
    torch.testing.assert_close(p.entropy(), oracle.entropy())


@pytest.mark.parametrize("logit", [-1e30, -1e4, -100.0, -20.5, 0.0, 20.5, 100.0, 1e4, 1e30])
def test_bernoulli_is_exact_at_extreme_logits(logit: float) -> None:
    p = Bernoulli(NoOptions())(torch.full((1, 1, 1), logit, dtype=torch.float64))
    for pixel in (0.0, 0.25, 1.0):
        expected = pixel * logit - max(logit, 0.0) - math.log1p(math.exp(-abs(logit)))
        assert p.log_prob(torch.full((1, 1, 1), pixel, dtype=torch.float64)).item() == pytest.approx(
            expected, rel=1e-14
        )


def test_the_least_bernoulli_distortion_of_a_grey_image_is_its_entropy() -> None:
    image = torch.rand(1, 4, 5, dtype=torch.float64)
    distortion = -Bernoulli(NoOptions())(image.logit()).log_prob(image)
    entropy = -(image * image.log() + (1 - image) * (1 - image).log()).sum()
    torch.testing.assert_close(distortion, entropy)


def test_continuous_bernoulli_is_torchs_away_from_a_half() -> None:
    likelihood = ContinuousBernoulli(NoOptions())
    raw = raw_of(likelihood, 7)
    raw = torch.where(raw.abs() < 0.1, raw.sign() * 0.1, raw)
    oracle = Independent(TorchContinuousBernoulli(logits=raw, validate_args=False), 3)
    p, image = likelihood(raw), torch.rand(7, *IMAGE.shape, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(image), oracle.log_prob(image), rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(p.mean, oracle.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(p.variance, oracle.variance, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(p.entropy(), oracle.entropy(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "logit", [-30.0, -3.0, -0.2, -0.19999, -1e-3, -1e-9, 0.0, 1e-12, 1e-5, 0.1, 0.2, 0.21, 5.0, 40.0]
)
def test_continuous_bernoulli_by_integration(logit: float) -> None:
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(200))
    x, weights = (nodes + 1) / 2, weights / 2
    p = ContinuousBernoulliFromLogits(torch.full((200, 1, 1, 1), logit, dtype=torch.float64))
    density = p.log_prob(x[:, None, None, None]).exp() * weights
    mean = (density * x).sum()
    assert density.sum().item() == pytest.approx(1, rel=1e-13)
    assert p.mean[0].item() == pytest.approx(mean.item(), rel=1e-13)
    assert p.variance[0].item() == pytest.approx((density * (x - mean) ** 2).sum().item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_log_normaliser_is_finite_and_monotone_with_its_gradient_in_the_unit_interval(dtype: torch.dtype) -> None:
    logits = torch.cat([torch.linspace(-1, 1, 4001), torch.tensor([-1e30, -1e4, -90.0, 90.0, 1e4, 1e30])]).sort().values
    logits = logits.to(dtype).requires_grad_()
    value = log_normaliser(logits)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    assert value.isfinite().all()
    assert (value.diff() >= 0).all()
    assert ((slope >= 0) & (slope <= 1)).all()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(slope, ContinuousBernoulliFromLogits(logits[:, None, None, None]).mean.flatten(),
                               rtol=tolerance, atol=tolerance)  # fmt: skip


@pytest.mark.parametrize("learn", ["none", "global", "pixel"])
def test_gaussian_is_torchs_with_every_constant(learn: str) -> None:
    likelihood = Gaussian(GaussianOptions(scale=0.3, learn=learn, floor=0.02)).double()
    raw = torch.randn(7, likelihood.channels(IMAGE), 4, 5, dtype=torch.float64)
    image = torch.rand(7, *IMAGE.shape, dtype=torch.float64)
    mean, scale = raw[:, :3], torch.tensor(0.3, dtype=torch.float64)
    if learn == "global":
        scale = (likelihood.raw_log_variance.exp() + 0.02**2).sqrt()
    if learn == "pixel":
        scale = ((0.3**2 - 0.02**2) * raw[:, 3:].exp() + 0.02**2).sqrt()
    oracle = Independent(Normal(mean, scale.expand_as(mean)), 3)
    torch.testing.assert_close(likelihood(raw).log_prob(image), oracle.log_prob(image), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(likelihood(raw).entropy(), oracle.entropy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("learn", ["global", "pixel"])
def test_a_learned_scale_starts_as_set_and_stays_above_its_floor(learn: str) -> None:
    likelihood = Gaussian(GaussianOptions(scale=0.3, learn=learn, floor=0.02)).double()
    raw = torch.zeros(2, likelihood.channels(IMAGE), 4, 5, dtype=torch.float64)
    torch.testing.assert_close(likelihood(raw).stddev, torch.full((2, *IMAGE.shape), 0.3, dtype=torch.float64))
    raw[:, 3:] = -1e4
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.fill_(-1e4)
    assert likelihood(raw).stddev.min().item() == pytest.approx(0.02)


def test_the_learned_scale_finds_the_residuals() -> None:
    likelihood = Gaussian(GaussianOptions(scale=0.5, learn="global")).double()
    image = 0.5 + 0.07 * torch.randn(64, *IMAGE.shape, dtype=torch.float64)
    optimizer = torch.optim.Adam(likelihood.parameters(), 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        p = likelihood(torch.full_like(image, 0.5))
        (-p.log_prob(image)).mean().backward()
        optimizer.step()
    assert p.stddev.mean().item() == pytest.approx((image - 0.5).square().mean().sqrt().item(), rel=1e-3)


def test_a_floor_above_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale must be above floor"):
        GaussianOptions(scale=0.01, floor=0.02, learn="pixel")
    assert GaussianOptions(scale=0.01, floor=0.02).learn == "none"
