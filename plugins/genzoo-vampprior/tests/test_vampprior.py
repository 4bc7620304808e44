"""The VampPrior: the mixture of posteriors, by hand and in a model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError
from genzoo.types import ImageSpec, LatentSpec
from genzoo_vampprior.options import VampPriorOptions
from genzoo_vampprior.vampprior import VampPrior

IMAGE = ImageSpec((1, 3, 3))


class Encoder(nn.Module):
    """A linear Gaussian encoder, enough to be mixed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 2 * dim).double()

    def forward(self, image: Tensor) -> DiagonalNormal:
        return DiagonalNormal(*self.linear(image.flatten(1)).chunk(2, -1))


def make(dim: int, **options: object) -> tuple[VampPrior, Encoder]:
    torch.manual_seed(0)
    prior = VampPrior(VampPriorOptions(pseudo_inputs=5, **options), LatentSpec((dim,)), IMAGE).double()
    prior.initialise(torch.rand(3, *IMAGE.shape, dtype=torch.float64))
    return prior, Encoder(dim)


def test_equals_the_mixture_of_posteriors() -> None:
    prior, encoder = make(3)
    z = torch.randn(4, 6, 3, dtype=torch.float64)
    parts = torch.stack([encoder(u[None]).log_prob(z) for u in prior.images])
    torch.testing.assert_close(prior(encode=encoder).log_prob(z), parts.logsumexp(0) - math.log(5))


def test_learned_weights_enter_the_mixture() -> None:
    prior, encoder = make(2, learn_weights=True)
    with torch.no_grad():
        prior.weight_logits.copy_(torch.arange(5.0))
    z = torch.randn(6, 2, dtype=torch.float64)
    parts = torch.stack([encoder(u[None]).log_prob(z) for u in prior.images])
    expected = (parts + prior.weight_logits.log_softmax(0)[:, None]).logsumexp(0)
    torch.testing.assert_close(prior(encode=encoder).log_prob(z), expected)


def test_integrates_to_one() -> None:
    prior, encoder = make(1)
    axis = torch.linspace(-15, 15, 6001, dtype=torch.float64)
    mass = prior(encode=encoder).log_prob(axis[:, None]).exp().sum() * (axis[1] - axis[0])
    assert mass.item() == pytest.approx(1, abs=1e-6)


def test_sample_moments() -> None:
    prior, encoder = make(2)
    p = prior(encode=encoder)
    z = p.sample((40_000,))
    torch.testing.assert_close(z.mean(0), p.mean.detach(), atol=0.03, rtol=0)
    torch.testing.assert_close(z.var(0), p.variance.detach(), atol=0.05, rtol=0.05)


def test_gradient_reaches_pseudo_inputs_and_encoder() -> None:
    prior, encoder = make(2, initial="noise")
    prior(encode=encoder).log_prob(torch.randn(4, 2, dtype=torch.float64)).sum().backward()
    assert prior.pseudo_inputs.grad is not None
    assert prior.pseudo_inputs.grad.abs().sum() > 0
    assert encoder.linear.weight.grad is not None
    assert prior.weight_logits.grad is None


def test_pseudo_inputs_start_from_data_and_stay_images() -> None:
    data = torch.rand(3, *IMAGE.shape, dtype=torch.float64)
    prior = VampPrior(VampPriorOptions(pseudo_inputs=5, noise=0), LatentSpec((2,)), IMAGE).double()
    prior.initialise(data)
    distance = (prior.pseudo_inputs.detach()[:, None] - data[None]).abs().flatten(2).sum(-1).min(1)
    assert distance.values.max() == 0
    assert set(distance.indices.tolist()) == {0, 1, 2}
    with torch.no_grad():
        prior.pseudo_inputs.add_(10)
    assert prior.images.max() <= 1


def test_noise_start_ignores_the_data() -> None:
    prior = VampPrior(VampPriorOptions(pseudo_inputs=5, initial="noise"), LatentSpec((2,)), IMAGE)
    before = prior.pseudo_inputs.clone()
    prior.initialise(torch.rand(3, *IMAGE.shape))
    assert torch.equal(before, prior.pseudo_inputs)


def test_state_round_trip() -> None:
    (prior, encoder), (other, _) = make(2), make(2)
    with torch.no_grad():
        other.pseudo_inputs.zero_()
    other.load_state_dict(prior.state_dict())
    z = torch.randn(3, 2, dtype=torch.float64)
    assert torch.equal(prior(encode=encoder).log_prob(z), other(encode=encoder).log_prob(z))


def test_needs_an_encoder() -> None:
    with pytest.raises(IncompatibleError, match="prior_of_top"):
        make(2)[0]()
