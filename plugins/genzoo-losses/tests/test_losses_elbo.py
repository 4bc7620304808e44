"""The elbo loss: its value, its options, its quantities, its terms, its coupling of a batch."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import IncompatibleError
from genzoo.types import Batch, Capability, Context, Latent, ModelOutput
from genzoo_losses.elbo import Elbo
from genzoo_losses.options import ElboOptions

F64 = torch.float64
IMAGE = torch.Size([1, 4, 4])


def output_of(mean: Tensor, log_variance: Tensor, batch: Batch, levels: int = 1, samples: int = 3) -> ModelOutput:
    """A model's output with the same posterior at every level and pixels whose mean is the sample's sum."""
    latents: list[Latent] = []
    for _ in range(levels):
        posterior = DiagonalNormal(mean, log_variance)
        prior = StandardNormal(tuple(mean.shape[1:]), dtype=F64)
        latents.append(Latent(posterior, prior, posterior.rsample(torch.Size([samples]))))
    centre = latents[0].sample.sum(-1)[..., None, None, None].expand(samples, len(batch), *IMAGE)
    return ModelOutput(tuple(latents), Independent(Normal(centre, 1.0, validate_args=False), 3))


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(torch.rand(6, *IMAGE, dtype=F64))


@pytest.fixture
def output(batch: Batch) -> ModelOutput:
    return output_of(torch.randn(6, 2, dtype=F64), torch.randn(6, 2, dtype=F64), batch)


def test_at_beta_one_it_is_the_negative_elbo(output: ModelOutput, batch: Batch) -> None:
    result = Elbo(ElboOptions())(output, batch)
    torch.testing.assert_close(result.objective, -estimators.elbo(output, batch.image).mean())
    torch.testing.assert_close(result.elbo, -result.objective)


@pytest.mark.parametrize("beta", [0.0, 0.1, 4.0])
def test_beta_weighs_the_rate_alone(output: ModelOutput, batch: Batch, beta: float) -> None:
    result, plain = Elbo(ElboOptions(beta=beta))(output, batch), Elbo(ElboOptions())(output, batch)
    torch.testing.assert_close(result.objective, plain.distortion + beta * plain.rate)
    torch.testing.assert_close(result.rate, plain.rate)
    torch.testing.assert_close(result.elbo, plain.elbo)


def test_a_scheduled_beta_replaces_the_configured_one(output: ModelOutput, batch: Batch) -> None:
    loss = Elbo(ElboOptions(beta=4))
    assert loss.quantities == {"beta": 4}
    scheduled = loss(output, batch, Context({"beta": torch.tensor(0.4, dtype=F64)}))
    torch.testing.assert_close(scheduled.objective, Elbo(ElboOptions(beta=0.4))(output, batch).objective)


def test_free_bits_leave_a_rate_below_them_without_gradient(batch: Batch) -> None:
    mean = torch.full((6, 2), 0.1, dtype=F64, requires_grad=True)
    output = output_of(mean, torch.zeros(6, 2, dtype=F64), batch)
    result = Elbo(ElboOptions(beta=0.5, free_bits=3))(output, batch)
    assert result.terms["rate"].item() == pytest.approx(1.5)
    assert result.rate.item() == pytest.approx(0.01)
    (slope,) = torch.autograd.grad(result.terms["rate"], mean)
    assert slope.abs().max() == 0


def test_free_bits_look_at_the_mean_of_the_batch(batch: Batch) -> None:
    # Rates 0 and 8: their mean, 4, is above 3, and so nothing is clamped.
    mean = torch.zeros(6, 2, dtype=F64)
    mean[3:, 0] = 4
    output = output_of(mean, torch.zeros(6, 2, dtype=F64), batch)
    assert Elbo(ElboOptions(free_bits=3))(output, batch).terms["rate"].item() == pytest.approx(4)
    per_dimension = Elbo(ElboOptions(free_bits=3, free_bits_per="dimension"))
    assert per_dimension(output, batch).terms["rate"].item() == pytest.approx(4 + 3)
    assert per_dimension.requires == {Capability.FACTORISED_POSTERIOR}


def test_free_bits_hold_for_each_level(batch: Batch) -> None:
    output = output_of(torch.zeros(6, 2, dtype=F64), torch.zeros(6, 2, dtype=F64), batch, levels=3)
    assert Elbo(ElboOptions(free_bits=0.5))(output, batch).terms["rate"].item() == pytest.approx(1.5)


def test_free_bits_per_dimension_need_a_prior_that_factorises(batch: Batch) -> None:
    posterior = DiagonalNormal(torch.zeros(6, 2), torch.zeros(6, 2))
    prior = MixtureSameFamily(Categorical(torch.ones(2)), DiagonalNormal(torch.zeros(2, 2), torch.zeros(2, 2)))
    likelihood = Independent(Normal(torch.zeros(1, 6, *IMAGE), 1.0), 3)
    output = ModelOutput((Latent(posterior, prior, posterior.rsample(torch.Size([1]))),), likelihood)
    with pytest.raises(IncompatibleError, match="factorise over dimensions, got DiagonalNormal and MixtureSameFamily"):
        Elbo(ElboOptions(free_bits=0.5, free_bits_per="dimension"))(output, batch)


@pytest.mark.parametrize(("capacity", "sign"), [(0.0, 1), (50.0, -1)])
def test_capacity_draws_the_rate_to_it(output: ModelOutput, batch: Batch, capacity: float, sign: int) -> None:
    loss = Elbo(ElboOptions(capacity=capacity, gamma=10))
    assert loss.quantities == {"capacity": capacity, "gamma": 10}
    result = loss(output, batch)
    torch.testing.assert_close(result.objective, result.distortion + 10 * sign * (result.rate - capacity))
    moved = loss(output, batch, Context({"capacity": result.rate.item()}))
    torch.testing.assert_close(moved.objective, moved.distortion)


def test_the_distortion_a_pixel_is_the_pixels_share(output: ModelOutput, batch: Batch) -> None:
    result = Elbo(ElboOptions(distortion_per="pixel"))(output, batch)
    torch.testing.assert_close(result.objective, result.distortion / 16 + result.rate)
    torch.testing.assert_close(result.distortion, Elbo(ElboOptions())(output, batch).distortion)


OPTIONS = [
    {},
    {"beta": 4.0},
    {"free_bits": 2.0},
    {"free_bits": 2.0, "free_bits_per": "dimension"},
    {"capacity": 5.0},
    {"distortion_per": "pixel"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
class TestEvery:
    def test_the_terms_sum_to_the_objective(self, options: dict[str, float], output: ModelOutput, batch: Batch) -> None:
        extended = ModelOutput(output.latents, output.likelihood, {"codebook": torch.rand(6, dtype=F64)})
        result = Elbo(ElboOptions(**options))(extended, batch)
        assert set(result.terms) == {"distortion", "rate", "codebook"}
        torch.testing.assert_close(sum(result.terms.values()), result.objective)

    def test_coupling_is_declared_truly(self, options: dict[str, float], batch: Batch) -> None:
        """The objective of a batch is the mean of its halves' if and only if the loss says that images do not couple."""
        loss = Elbo(ElboOptions(**options))
        mean = torch.zeros(6, 2, dtype=F64)
        mean[3:] = 4
        variance = torch.zeros(6, 2, dtype=F64)
        likelihood = Independent(Normal(torch.zeros(1, 6, *IMAGE, dtype=F64), 1.0), 3)

        def objective(part: slice) -> Tensor:
            posterior = DiagonalNormal(mean[part], variance[part])
            latent = Latent(posterior, StandardNormal((2,), dtype=F64), mean[None, part])
            output = ModelOutput((latent,), Independent(Normal(likelihood.mean[:, part], 1.0), 3))
            return loss(output, Batch(batch.image[part])).objective

        whole, halves = objective(slice(None)), (objective(slice(0, 3)) + objective(slice(3, 6))) / 2
        assert torch.isclose(whole, halves).item() is not loss.batch_coupled


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"capacity": 5.0, "beta": 4.0}, "beta has no effect"),
        ({"gamma": 10.0}, "gamma needs a capacity"),
        ({"capacity": 5.0, "free_bits": 1.0}, "exclude each other"),
        ({"free_bits_per": "dimension"}, "needs free_bits"),
        ({"beta": -1.0}, "greater than or equal to 0"),
    ],
)
def test_an_option_that_would_be_dropped_is_refused(options: dict[str, float], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ElboOptions(**options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_resolved_options_read_back(options: dict[str, float]) -> None:
    resolved = ElboOptions(**options)
    assert ElboOptions(**resolved.model_dump(exclude_none=True)) == resolved
