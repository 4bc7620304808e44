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
from genzoo.findings import Evidence, LevelUse, Margin
from genzoo.interfaces import Likelihood
from genzoo.options import NoOptions
from genzoo.types import ImageSpec
from genzoo_likelihoods.bernoulli import Bernoulli
from genzoo_likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    ContinuousBernoulliFromLogits,
    log_normaliser,
)
from genzoo_likelihoods.gaussian import MEMORY, Gaussian
from genzoo_likelihoods.options import GaussianOptions

IMAGE = ImageSpec((3, 4, 5))


def every_likelihood() -> list[Likelihood]:
    learned = [GaussianOptions(scale=0.3, learn=learn) for learn in ("none", "global", "optimal", "pixel")]
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
        likelihood.eval()  # In training the optimal scale couples the images of a batch.
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


def optimal(**options: float) -> Gaussian:
    return Gaussian(GaussianOptions(learn="optimal", **options)).double()


def test_the_optimal_scale_is_where_no_other_does_better() -> None:
    torch.manual_seed(0)
    likelihood = optimal()
    mean, image = torch.randn(6, 3, 4, 5).double(), torch.rand(6, 3, 4, 5).double()
    found = likelihood(mean.requires_grad_(True)).log_prob(image)
    error = (image - mean).square().mean()
    torch.testing.assert_close(found.mean(), -0.5 * 60 * (error.log() + math.log(2 * math.pi) + 1))
    fixed = {factor: Normal(mean, factor * error.sqrt()).log_prob(image).sum((1, 2, 3)) for factor in (0.9, 1.0, 1.1)}
    torch.testing.assert_close(found, fixed[1.0])
    assert found.mean() > max(fixed[0.9].mean(), fixed[1.1].mean())


def test_the_gradient_is_that_through_the_optimal_scale_as_well() -> None:
    torch.manual_seed(0)
    mean, image = torch.randn(6, 3, 4, 5).double().requires_grad_(True), torch.rand(6, 3, 4, 5).double()
    (held,) = torch.autograd.grad(optimal()(mean).log_prob(image).mean(), mean)
    through = -0.5 * 60 * ((image - mean).square().mean().log() + math.log(2 * math.pi) + 1)
    torch.testing.assert_close(held, torch.autograd.grad(through, mean)[0])


def test_evaluation_uses_the_running_optimum_and_stays_a_density() -> None:
    torch.manual_seed(0)
    likelihood = optimal(scale=0.3)
    mean = torch.zeros(4, 1, 8, 8).double().requires_grad_(True)
    likelihood.eval()
    torch.testing.assert_close(likelihood(mean).variance, torch.full((4, 1, 8, 8), 0.09).double())
    likelihood.train()
    errors: list[float] = []
    for step in range(250):
        image = (0.5 + step / 250) * torch.randn(4, 1, 8, 8).double()
        likelihood(mean).log_prob(image)
        errors.append(float(image.square().mean()))
    weights = [(1 - 1 / MEMORY) ** (249 - step) for step in range(250)]
    expected = sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights)
    likelihood.eval()
    kept = {key: value.clone() for key, value in likelihood.state_dict().items()}
    found = likelihood(mean)
    assert found.variance.flatten()[0].item() == pytest.approx(expected, rel=1e-6)
    image = torch.rand(4, 1, 8, 8).double()
    together, alone = found.log_prob(image), likelihood(mean[:1]).log_prob(image[:1])
    torch.testing.assert_close(together[:1], alone)
    assert all(torch.equal(value, kept[key]) for key, value in likelihood.state_dict().items())
    again = optimal(scale=0.3)
    again.load_state_dict(kept)
    torch.testing.assert_close(again.eval()(mean).log_prob(image), together)


def test_the_optimal_scale_stays_above_its_floor_and_leaves_out_what_is_not_finite() -> None:
    likelihood = optimal(floor=0.02)
    same = torch.full((2, 1, 3, 3), 0.4).double().requires_grad_(True)
    exact = likelihood(same).log_prob(same.detach())
    torch.testing.assert_close(exact, torch.full((2,), -9 * (math.log(0.02) + 0.5 * math.log(2 * math.pi))).double())
    before = likelihood.running.clone()
    likelihood(same).log_prob(torch.full((2, 1, 3, 3), torch.nan).double())
    assert torch.equal(likelihood.running, before)


def test_twice_the_density_of_a_batch_is_one_step_of_the_running_mean() -> None:
    likelihood, image = optimal(), torch.rand(2, 1, 3, 3).double()
    distribution = likelihood(torch.zeros(2, 1, 3, 3).double().requires_grad_(True))
    distribution.log_prob(image)
    once = likelihood.running.clone()
    distribution.log_prob(image)
    assert torch.equal(likelihood.running, once)


@pytest.mark.parametrize("learn", ["none", "global", "optimal"])
def test_the_least_distortion_is_that_of_the_image_itself(learn: str) -> None:
    likelihood = Gaussian(GaussianOptions(scale=0.3, learn=learn)).double().eval()
    image = torch.rand(3, *IMAGE.shape).double()
    torch.testing.assert_close(likelihood.least_distortion(image), -likelihood(image).log_prob(image).detach())
    assert Gaussian(GaussianOptions(scale=0.3, learn="pixel")).least_distortion(image) is None


def test_the_least_distortion_of_grey_pixels_is_their_entropy() -> None:
    image = torch.rand(3, *IMAGE.shape).double()
    likelihood = Bernoulli(NoOptions())
    torch.testing.assert_close(likelihood.least_distortion(image), -likelihood(image.logit()).log_prob(image))
    assert not likelihood.least_distortion(image.round()).any()


def told(learn: str, scale: float, squared_error: float, *, use: float = 20.0) -> tuple[str, str]:
    evidence = Evidence(
        distortion=1.0, rate=0.0, levels=(LevelUse(2),), pixels=784, squared_error=squared_error, use=Margin(use, 0.1)
    )
    (finding,) = Gaussian(GaussianOptions(learn=learn, scale=scale, floor=1e-3)).diagnose(evidence)
    return finding.text, finding.remedy


def test_the_scale_is_reported_with_the_best_one_and_what_it_costs() -> None:
    assert told("global", 0.2, 0.04) == ("σ is 0.2 (learned); for these errors 0.2 would be best.", "")
    text, remedy = told("global", 0.2, 0.16)
    # 784 · (½ (4 − 1) − ln 2)
    assert text == "σ is 0.2 (learned); for these errors 0.4 would be best, by 632.57 nats per image."
    assert remedy == "--likelihood.learn optimal"
    assert told("none", 0.2, 0.16)[1] == ""
    assert told("none", 3.0, 0.07, use=0.0)[1] == "a smaller --likelihood.scale or --likelihood.learn optimal"
    assert told("none", 0.01, 0.07, use=0.0)[1] == ""
    assert not Gaussian(GaussianOptions(learn="pixel")).diagnose(Evidence(1.0, 0.0, squared_error=0.1))
