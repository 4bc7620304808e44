"""The lean distributions against torch.distributions, in float64."""

from __future__ import annotations

import pickle
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT, kl_divergence

from genzoo.distributions import DiagonalNormal, StandardNormal, factors, per_dimension_kl

F64 = torch.float64
EVENTS = [(3,), (2, 4, 5)]


def pair(batch: tuple[int, ...], event: tuple[int, ...]) -> tuple[DiagonalNormal, Independent]:
    """The same normal, lean and torch's."""
    mean, log_variance = torch.randn(2, *batch, *event, dtype=F64)
    oracle = Independent(Normal(mean, (0.5 * log_variance).exp()), len(event))
    return DiagonalNormal(mean, log_variance, len(event)), oracle


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("event", EVENTS)
class TestDiagonalNormal:
    def test_shapes(self, event: tuple[int, ...]) -> None:
        lean, oracle = pair((7,), event)
        assert (lean.batch_shape, lean.event_shape) == (oracle.batch_shape, oracle.event_shape)
        assert lean.rsample(torch.Size([5])).shape == (5, 7, *event)
        assert lean.expand(torch.Size([5, 7])).rsample().shape == (5, 7, *event)

    def test_values(self, event: tuple[int, ...]) -> None:
        lean, oracle = pair((7,), event)
        value = torch.randn(5, 7, *event, dtype=F64)
        torch.testing.assert_close(lean.log_prob(value), oracle.log_prob(value), rtol=1e-13, atol=1e-12)
        torch.testing.assert_close(lean.entropy(), oracle.entropy(), rtol=1e-13, atol=1e-12)
        for name in ("mean", "mode", "variance", "stddev"):
            torch.testing.assert_close(getattr(lean, name), getattr(oracle, name), rtol=1e-14, atol=1e-14)

    def test_draws_repeat_with_torchs_and_carry_its_gradient(self, event: tuple[int, ...]) -> None:
        mean, log_variance = (part.requires_grad_() for part in torch.randn(2, 7, *event, dtype=F64))
        lean = DiagonalNormal(mean, log_variance, len(event))
        oracle = Independent(Normal(mean, (0.5 * log_variance).exp()), len(event))
        draws: list[Tensor] = []
        slopes: list[tuple[Tensor, ...]] = []
        for distribution in (lean, oracle):
            torch.manual_seed(3)
            draws.append(distribution.rsample(torch.Size([4])))
            slopes.append(torch.autograd.grad(draws[-1].square().sum(), (mean, log_variance)))
        torch.testing.assert_close(draws[0], draws[1])
        torch.testing.assert_close(slopes[0], slopes[1])

    def test_kl_between_two_and_to_the_standard_normal(self, event: tuple[int, ...]) -> None:
        (q, q_oracle), (p, p_oracle) = pair((7,), event), pair((7,), event)
        torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q_oracle, p_oracle), rtol=1e-12, atol=1e-12)
        standard = StandardNormal(event, dtype=F64)
        oracle = Independent(Normal(torch.zeros(event, dtype=F64), 1.0), len(event))
        torch.testing.assert_close(kl_divergence(q, standard), kl_divergence(q_oracle, oracle), rtol=1e-12, atol=1e-12)

    def test_kl_is_zero_at_itself_and_positive_elsewhere(self, event: tuple[int, ...]) -> None:
        (q, _), (p, _) = pair((7,), event), pair((7,), event)
        assert kl_divergence(q, q).abs().max() < 1e-14
        assert kl_divergence(q, p).min() > 0

    def test_kl_is_the_mean_log_ratio(self, event: tuple[int, ...]) -> None:
        (q, _), (p, _) = pair((7,), event), pair((7,), event)
        drawn = q.sample(torch.Size([20_000]))
        ratio = q.log_prob(drawn) - p.log_prob(drawn)
        assert ((ratio.mean(0) - kl_divergence(q, p)).abs() < 5 * ratio.std(0) / 20_000**0.5).all()

    def test_kl_a_dimension_sums_to_the_kl(self, event: tuple[int, ...]) -> None:
        (q, q_oracle), (p, p_oracle) = pair((7,), event), pair((7,), event)
        axes = tuple(range(1, 1 + len(event)))
        for one, other in ((q, p), (q_oracle, p_oracle), (q, p_oracle), (q, StandardNormal(event, dtype=F64))):
            each = per_dimension_kl(one, other)
            assert each is not None
            assert each.shape == (7, *event)
            expected = kl_divergence(one, other) if type(one) is type(other) else each.sum(axes)
            torch.testing.assert_close(each.sum(axes), expected)
        torch.testing.assert_close(
            cast(Tensor, per_dimension_kl(q, p)), kl_divergence(q_oracle.base_dist, p_oracle.base_dist)
        )

    def test_marginals(self, event: tuple[int, ...]) -> None:
        lean, oracle = pair((7,), event)
        value = torch.randn(7, *event, dtype=F64)
        for distribution in (lean, oracle):
            marginals = factors(distribution)
            assert marginals is not None
            assert marginals.event_shape == ()
            torch.testing.assert_close(marginals.log_prob(value).flatten(1).sum(1), oracle.log_prob(value))

    def test_it_survives_pickle(self, event: tuple[int, ...]) -> None:
        lean, _ = pair((7,), event)
        value = torch.randn(7, *event, dtype=F64)
        assert torch.equal(pickle.loads(pickle.dumps(lean)).log_prob(value), lean.log_prob(value))


@pytest.mark.parametrize("event", EVENTS)
def test_the_standard_normal_is_torchs(event: tuple[int, ...]) -> None:
    lean = StandardNormal(event, dtype=F64)
    oracle = Independent(Normal(torch.zeros(event, dtype=F64), 1.0), len(event))
    value = torch.randn(5, 7, *event, dtype=F64)
    assert (lean.batch_shape, lean.event_shape) == ((), event)
    torch.testing.assert_close(lean.log_prob(value), oracle.log_prob(value), rtol=1e-14, atol=1e-13)
    torch.testing.assert_close(lean.entropy(), oracle.entropy())
    assert lean.sample(torch.Size([5])).dtype == F64


def test_kl_of_two_standard_normals_is_zero() -> None:
    assert kl_divergence(StandardNormal((3,)), StandardNormal((3,))) == 0


def test_what_does_not_factorise_has_no_marginals_and_no_rate_a_dimension() -> None:
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), DiagonalNormal(torch.zeros(2, 3), torch.zeros(2, 3)))
    assert factors(mixture) is None
    assert per_dimension_kl(mixture, StandardNormal((3,))) is None
    assert per_dimension_kl(StandardNormal((3,)), mixture) is None


def test_a_pair_without_a_closed_form_has_no_rate_a_dimension() -> None:
    student = Independent(StudentT(torch.full((3,), 4.0)), 1)
    assert per_dimension_kl(StandardNormal((3,)), student) is None
