"""The label-conditional prior: closed form with labels, mixture without."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Margin
from genzoo.types import ImageSpec, Latent, LatentSpec
from genzoo_label_prior.label_normal import LabelNormalPrior
from genzoo_label_prior.options import LabelNormalOptions

IMAGE = ImageSpec((1, 8, 8), classes=3)


def make(shape: tuple[int, ...] = (2,), **options: object) -> LabelNormalPrior:
    torch.manual_seed(0)
    prior = LabelNormalPrior(LabelNormalOptions(**options), LatentSpec(shape), IMAGE).double()
    with torch.no_grad():
        prior.mean.copy_(torch.randn(prior.mean.shape))
        prior.log_variance.copy_(0.5 * torch.randn(prior.log_variance.shape))
    return prior


def test_label_selects_the_class() -> None:
    prior, label = make(), torch.tensor([2, 0, 2, 1])
    z = torch.randn(5, 4, 2, dtype=torch.float64)
    expected = Normal(prior.mean[label], (0.5 * prior.log_variance[label]).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(prior(label=label).log_prob(z), expected)


def test_without_label_it_is_the_mean_over_classes() -> None:
    prior = make()
    z = torch.randn(7, 2, dtype=torch.float64)
    each = torch.stack([prior(label=torch.full((7,), c)).log_prob(z) for c in range(3)])
    torch.testing.assert_close(prior().log_prob(z), each.logsumexp(0) - math.log(3))


def test_mixture_integrates_to_one() -> None:
    prior = make()
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = prior().log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-6)


def test_samples_have_the_classes_moments() -> None:
    prior, label = make(), torch.tensor([0, 1, 2])
    z = prior(label=label).sample((40_000,))
    torch.testing.assert_close(z.mean(0), prior.mean.detach(), atol=0.03, rtol=0)
    torch.testing.assert_close(z.var(0), prior.log_variance.detach().exp(), atol=0.06, rtol=0.05)


def test_rate_is_exact_and_reaches_mean_and_variance() -> None:
    prior, label = make(), torch.tensor([0, 1, 2])
    q = DiagonalNormal(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64))
    rate = estimators.rate(Latent(q, prior(label=label), q.rsample((4,))))
    assert rate.exact
    assert rate.value.shape == (4, 3)
    rate.value.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in prior.parameters())


def test_fixed_scale_has_no_gradient() -> None:
    prior = LabelNormalPrior(LabelNormalOptions(learn_scale=False), LatentSpec((2,)), IMAGE)
    assert [name for name, p in prior.named_parameters() if p.requires_grad] == ["mean"]


def test_spatial_latents_and_state_round_trip() -> None:
    prior, other = make((2, 3, 3)), make((2, 3, 3))
    with torch.no_grad():
        other.mean.zero_()
    other.load_state_dict(prior.state_dict())
    z = prior().sample((4,))
    assert z.shape == (4, 2, 3, 3)
    torch.testing.assert_close(prior().log_prob(z), other().log_prob(z))


def test_refuses_data_without_labels() -> None:
    with pytest.raises(IncompatibleError, match="must have labels"):
        LabelNormalPrior(LabelNormalOptions(), LatentSpec((2,)), ImageSpec((1, 8, 8)))


@pytest.mark.parametrize(("rate", "use", "told"), [(0.05, 20.0, True), (5.0, 20.0, False), (0.05, 0.0, False)])
def test_a_small_rate_of_latents_in_use_is_explained(rate: float, use: float, told: bool) -> None:
    found = make().diagnose(Evidence(distortion=20.0, rate=rate, use=Margin(use, 0.1)))
    assert [finding.text for finding in found] == (
        ["The prior knows the label, so the rate counts only what the latents say beyond it."] if told else []
    )
