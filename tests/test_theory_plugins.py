"""Equations 27 to 31 of docs/theory.md, which plugins compute: the conditional model, its objective, the warm-up.

Float64, with a fresh small CVAE whose weights are drawn from a fixed seed.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Parts, Progress
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.types import Batch, Context, ImageSpec, ModelOutput
from genzoo_cvae.cvae import CVAE
from genzoo_cvae.options import CVAEOptions
from genzoo_likelihoods.bernoulli import Bernoulli
from genzoo_losses.elbo import Elbo
from genzoo_losses.options import ElboOptions
from genzoo_networks.mlp import MLP
from genzoo_networks.options import MLPOptions
from genzoo_priors.standard_normal import StandardNormalPrior
from genzoo_schedulers.linear_warmup import LinearWarmup
from genzoo_schedulers.options import LinearWarmupOptions

IMAGE = ImageSpec((1, 4, 4), classes=10)


@pytest.fixture
def cvae() -> CVAE:
    parts = Parts(
        image=IMAGE,
        network=MLP(MLPOptions(hidden=(16,))),
        likelihood=Bernoulli(NoOptions()),
        prior=lambda latent: StandardNormalPrior(NoOptions(), latent, IMAGE),
    )
    with seeded(0):
        return CVAE(CVAEOptions(latent_dim=2), parts).double()


@pytest.fixture
def batch() -> Batch:
    with seeded(1):
        return Batch(torch.rand(6, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 7, 7, 9]))


def forward(model: CVAE, batch: Batch, samples: int = 1) -> ModelOutput:
    with seeded(2):
        return model(batch, samples=samples)


def posterior(output: ModelOutput) -> DiagonalNormal:
    q = output.latents[0].posterior
    assert isinstance(q, DiagonalNormal)
    return q


def cross_entropy(mean: Tensor, image: Tensor) -> Tensor:
    """The binary cross-entropy summed over pixels, [B], by torch."""
    return F.binary_cross_entropy(mean, image, reduction="none").sum((-3, -2, -1))


def other_class(batch: Batch) -> Batch:
    assert batch.label is not None
    return Batch(batch.image, (batch.label + 1) % 10)


def test_equation_27_the_prior_ignores_the_class(cvae: CVAE, batch: Batch) -> None:
    z = torch.linspace(-3, 3, 7, dtype=torch.float64).reshape(-1, 1, 1).expand(7, 6, 2)
    standard = -0.5 * z.square().sum(-1) - math.log(2 * math.pi)
    for label in (batch.label, other_class(batch).label):
        torch.testing.assert_close(cvae.prior_of_top(label).log_prob(z), standard, atol=1e-12, rtol=0)


def test_equation_28_the_decoder_reads_the_class(cvae: CVAE, batch: Batch) -> None:
    z = torch.zeros(6, 2, dtype=torch.float64)
    difference = cvae.decode([z], batch.label).mean - cvae.decode([z], other_class(batch).label).mean
    assert (difference.flatten(1).abs().max(-1).values > 1e-4).all()
    same = cvae.decode([z], torch.full((6,), 3)).mean
    torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-12, rtol=0)


def test_equation_29_the_encoder_reads_the_class(cvae: CVAE, batch: Batch) -> None:
    mean, other = (posterior(forward(cvae, some)).mean for some in (batch, other_class(batch)))
    assert ((mean - other).abs().amax(-1) > 1e-4).all()


def test_equation_29_the_conditional_elbo(cvae: CVAE, batch: Batch) -> None:
    output = forward(cvae, batch, samples=3)
    q, z = posterior(output), output.latents[0].sample
    kl = 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).sum(-1)
    by_hand = torch.stack([-cross_entropy(cvae.decode([draw], batch.label).mean, batch.image) - kl for draw in z])
    torch.testing.assert_close(estimators.elbo(output, batch.image), by_hand, atol=1e-9, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 4.0])
def test_equation_30_cross_entropy_plus_beta_times_rate(cvae: CVAE, batch: Batch, beta: float) -> None:
    output = forward(cvae, batch)
    q = posterior(output)
    distortion = cross_entropy(output.likelihood.mean[0], batch.image).mean()
    rate = 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).sum(-1).mean()
    found = Elbo(ElboOptions(beta=beta))(output, batch)
    torch.testing.assert_close(found.objective, distortion + beta * rate, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.distortion, distortion, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.rate, rate, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.elbo, -(distortion + rate), atol=1e-9, rtol=0)


def test_equation_30_is_minus_equation_29_at_beta_one(cvae: CVAE, batch: Batch) -> None:
    output = forward(cvae, batch)
    negative_elbo = -estimators.elbo(output, batch.image).mean()
    torch.testing.assert_close(Elbo(ElboOptions())(output, batch).objective, negative_elbo, atol=1e-9, rtol=0)


def test_equation_31_linear_warmup() -> None:
    warmup = LinearWarmup(LinearWarmupOptions(epochs=10))
    found = [warmup.factor(Progress(epoch, (epoch - 1) * 469, 469, 30)) for epoch in range(1, 31)]
    assert found == pytest.approx([min(1, t / 10) for t in range(1, 31)], abs=1e-12)


def test_equation_31_by_step() -> None:
    warmup = LinearWarmup(LinearWarmupOptions(epochs=10, unit="step"))
    found = [warmup.factor(Progress(step // 4 + 1, step, 4, 30)) for step in range(120)]
    assert found == pytest.approx([min(1, (step + 1) / 40) for step in range(120)], abs=1e-12)


def test_equation_31_drives_beta_in_equation_30(cvae: CVAE, batch: Batch) -> None:
    output = forward(cvae, batch)
    loss = Elbo(ElboOptions(beta=4))
    factor = LinearWarmup(LinearWarmupOptions(epochs=10)).factor(Progress(3, 0, 4, 30))
    found = loss(output, batch, Context({"beta": loss.quantities["beta"] * factor}))
    torch.testing.assert_close(found.objective, found.distortion + 1.2 * found.rate, atol=1e-9, rtol=0)
