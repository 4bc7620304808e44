"""The importance-sampled likelihood on a linear-Gaussian model whose likelihood is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import Dataset, Model, RunView
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, Latent, LatentSpec, Split
from genzoo_nll.nll import NegativeLogLikelihood, estimate, importance_weights
from genzoo_nll.options import NegativeLogLikelihoodOptions

NOISE, LATENTS = 0.5, 2
SHAPE = (1, 2, 3)


class Linear(Model):
    """x = Wz + noise, z ~ N(0, I); q is the true posterior widened, so that importance weights vary."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})

    def __init__(self, widen: float = 1.3) -> None:
        nn.Module.__init__(self)
        self.image = ImageSpec(SHAPE)
        self.levels = (LatentSpec((LATENTS,)),)
        with seeded(0):
            orthogonal = torch.linalg.qr(torch.randn(6, LATENTS)).Q
        self.decoder = nn.Parameter(orthogonal * torch.tensor([1.5, 0.7]))
        self.widen = widen
        self.drawn = torch.zeros(0, dtype=torch.int64)

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        precision = 1 + self.decoder.square().sum(0) / NOISE**2
        mean = batch.image.flatten(1) @ self.decoder / NOISE**2 / precision
        log_variance = (-precision.log() + 2 * math.log(self.widen)).expand_as(mean)
        posterior = DiagonalNormal(mean, log_variance)
        self.drawn = torch.cat([self.drawn, torch.full((samples,), len(batch))])
        return Encoding((Latent(posterior, StandardNormal((LATENTS,)), posterior.rsample((samples,))),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        raw = nn.functional.linear(latents[0], self.decoder).float()
        return Independent(Normal(raw.reshape(*raw.shape[:-1], *SHAPE), NOISE, validate_args=False), 3)

    def exact(self, image: Tensor) -> Tensor:
        weight = self.decoder.detach().double()
        covariance = weight @ weight.T + NOISE**2 * torch.eye(6)
        return -MultivariateNormal(torch.zeros(6).double(), covariance).log_prob(image.flatten(1).double())


class Noise(Dataset):
    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(SHAPE)

    def split(self, name: str) -> Split:
        return Split(torch.rand(37, *SHAPE, generator=torch.Generator().manual_seed(len(name))))


def view(model: Model | None = None) -> RunView:
    data = Noise(NoOptions())
    return RunView(
        "linear", (model or Linear()).eval(), data, {"train": data.split("train"), "test": data.split("test")}
    )


def metric(**options: object) -> NegativeLogLikelihood:
    return NegativeLogLikelihood(NegativeLogLikelihoodOptions.model_validate({"quadrature": 0, **options}))


def test_agrees_with_the_exact_likelihood() -> None:
    run = view()
    assert isinstance(run.model, Linear)
    exact = run.model.exact(run.batch().image)
    with seeded(1):
        found = metric(samples=5000).evaluate(run)
    assert found[""] == pytest.approx(exact.mean().item(), abs=0.01)
    assert found["standard_error"] == pytest.approx(exact.std().item() / math.sqrt(37), rel=0.05)
    assert (found["samples"], found["images"]) == (5000, 37)


def test_any_k_is_exact_where_q_is_the_posterior() -> None:
    run = view(Linear(widen=1.0))
    assert isinstance(run.model, Linear)
    exact = run.model.exact(run.batch().image).mean().item()
    for samples in (1, 7):
        assert metric(samples=samples).evaluate(run)[""] == pytest.approx(exact, abs=1e-5)


def test_one_sample_gives_the_negative_elbo_with_a_monte_carlo_rate() -> None:
    run = view()
    batch = run.batch()
    with seeded(2):
        found = metric(samples=1).evaluate(run)[""]
    with seeded(2), torch.no_grad():
        output = run.model(batch)
    expected = estimators.distortion(output, batch.image) + estimators.log_ratio(output.latents[0])
    assert found == pytest.approx(expected.mean().item(), rel=1e-6)


def test_the_estimate_falls_as_k_grows() -> None:
    run = view(Linear(widen=2.0))
    with seeded(3):
        found = [metric(samples=samples).evaluate(run)[""] for samples in (1, 10, 1000)]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("rows", [1, 2, 7, 40, 100, 10_000])
@pytest.mark.parametrize("images", [1, 5])
def test_every_image_gets_exactly_k_samples(rows: int, images: int) -> None:
    model, samples = Linear(), 23
    batch = Batch(torch.rand(images, *SHAPE))
    weights = importance_weights(model, batch, samples, rows=rows)
    assert weights.shape == (samples, images)
    assert weights.dtype == torch.float64
    assert model.drawn.tolist() == [images] * samples


def test_the_batching_does_not_change_what_is_estimated() -> None:
    model = Linear()
    batch = Batch(torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(4)))
    with seeded(5):
        found = [estimate(importance_weights(model, batch, 4000, rows=rows)).nll for rows in (29, 997, 10**6)]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, atol=0.05, rtol=0)


def test_images_and_split_are_honoured_and_the_last_partial_batch_is_used() -> None:
    run = view()
    assert isinstance(run.model, Linear)
    with seeded(6):
        first = metric(samples=2000, images=10).evaluate(run)
        train = metric(samples=2000, split="train").evaluate(run)
    assert first["images"] == 10
    assert first[""] == pytest.approx(run.model.exact(run.batch(10).image).mean().item(), abs=0.02)
    assert train[""] == pytest.approx(run.model.exact(run.batch(split="train").image).mean().item(), abs=0.02)
    assert "standard_error" not in metric(samples=2, images=1).evaluate(run)


def test_memory_bounds_what_is_decoded_at_once() -> None:
    model = Linear()
    seen: list[int] = []
    decode = model.decode
    model.decode = lambda latents, label=None, *, mean=False: seen.append(latents[0][..., 0].numel()) or decode(latents)  # type: ignore[method-assign]
    metric(samples=20_000, images=3, memory=1).evaluate(view(model))
    assert max(seen) <= 2**20 // (6 * 4 * 6)
    assert sum(seen) == 60_000


def test_bfloat16_is_close_and_labelled() -> None:
    run = view()
    with seeded(7):
        full = metric(samples=500).evaluate(run)
    with seeded(7):
        half = metric(samples=500, precision="bfloat16").evaluate(run)
    assert half[""] != full[""]
    assert half[""] == pytest.approx(full[""], abs=full["standard_error"])
    assert "bfloat16" in metric(precision="bfloat16").protocol
    assert "bfloat16" not in metric().protocol
    assert "K = 200" in metric().protocol


def test_builds_no_graph_and_leaves_the_model_alone() -> None:
    run = view()
    before = [parameter.clone() for parameter in run.model.parameters()]
    metric(samples=3).evaluate(run)
    assert not run.model.training
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))


def test_a_deterministic_posterior_is_refused_by_name() -> None:
    class Point(Linear):
        capabilities = frozenset({Capability.CATEGORICAL_LATENT, Capability.DETERMINISTIC_POSTERIOR})

    assert Capability.DETERMINISTIC_POSTERIOR in NegativeLogLikelihood.forbids
    run = view(Point())
    for call in (lambda: metric().check(run.model, run.image), lambda: metric().evaluate(run)):
        with pytest.raises(IncompatibleError, match="got Point, which is deterministic-posterior"):
            call()


def test_an_empty_split_is_refused() -> None:
    run = RunView("empty", Linear().eval(), Noise(NoOptions()), {"test": Split(torch.zeros(0, *SHAPE))})
    with pytest.raises(UsageError, match="split must be one of"):
        metric().evaluate(run)
