"""The InfoVAE objective and its discrepancy against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.randomness import seeded
from genzoo.types import Batch, Context, Latent, ModelOutput
from genzoo_info_vae.discrepancy import SCALES, kernel_matrix, squared_mmd
from genzoo_info_vae.info_vae import InfoVAE
from genzoo_info_vae.options import InfoVAEOptions


def example(mean: Tensor, prior: Distribution | None = None, samples: int = 1) -> tuple[ModelOutput, Batch]:
    images, dims = mean.shape
    with seeded(0):
        posterior = DiagonalNormal(mean, torch.full_like(mean, -2.0))
        z = posterior.rsample((samples,))
        image = torch.rand(images, 1, 2, 2, dtype=mean.dtype)
    likelihood = Independent(Normal(z.sum(-1)[..., None, None, None].expand(samples, images, 1, 2, 2), 1.0), 3)
    latent = Latent(posterior, prior or StandardNormal((dims,), dtype=mean.dtype), z)
    return ModelOutput((latent,), likelihood), Batch(image)


def loss(**options: object) -> InfoVAE:
    return InfoVAE(InfoVAEOptions.model_validate(options))


def test_kernels_by_hand_and_against_scikit_learn() -> None:
    with seeded(1):
        x, y = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    oracle = rbf_kernel(x.numpy(), y.numpy(), gamma=1 / (2 * 3 * 0.7**2))
    np.testing.assert_allclose(kernel_matrix(x, y, "rbf", 0.7).numpy(), oracle, rtol=1e-12)
    width, squared = 2 * 3 * 0.7**2, (x[1] - y[2]).square().sum()
    assert kernel_matrix(x, y, "imq", 0.7)[1, 2].item() == pytest.approx((width / (width + squared)).item())
    scaled = [width * s / (width * s + squared.item()) for s in SCALES]
    assert kernel_matrix(x, y, "imq", 0.7, SCALES)[1, 2].item() == pytest.approx(sum(scaled) / 7)


def test_discrepancy_by_hand() -> None:
    within_x = torch.tensor([[1.0, 0.2], [0.2, 1.0]])
    within_y = torch.tensor([[1.0, 0.4], [0.4, 1.0]])
    between = torch.tensor([[0.1, 0.3], [0.5, 0.7]])
    assert squared_mmd(within_x, within_y, between, unbiased=True).item() == pytest.approx(0.2 + 0.4 - 0.8)
    assert squared_mmd(within_x, within_y, between, unbiased=False).item() == pytest.approx(0.6 + 0.7 - 0.8)


def test_unbiased_discrepancy_of_two_gaussians_is_the_closed_form() -> None:
    """For k = exp(−r²/c) in one dimension, E k of N(0, v) differences is sqrt(c / (c + 2v)) exp(−m² / (c + 2v))."""
    shift, draws, size, width = 0.8, 400, 20, 2.0

    def expected(mean: float) -> float:
        return math.sqrt(width / (width + 4)) * math.exp(-(mean**2) / (width + 4))

    truth = 2 * expected(0.0) - 2 * expected(shift)
    values, null = [], []
    with seeded(2):
        for _ in range(draws):
            x, y = torch.randn(size, 1, dtype=torch.float64), torch.randn(size, 1, dtype=torch.float64)
            for values_of, shifted in ((values, y + shift), (null, y)):
                parts = [kernel_matrix(a, b, "rbf") for a, b in ((x, x), (shifted, shifted), (x, shifted))]
                values_of.append(squared_mmd(*parts))
    for found, target in ((torch.stack(values), truth), (torch.stack(null), 0.0)):
        error = found.std().item() / math.sqrt(draws)
        assert found.mean().item() == pytest.approx(target, abs=4 * error)
    assert truth > 10 * torch.stack(values).std().item() / math.sqrt(draws)


def test_terms_sum_and_follow_equation_6() -> None:
    with seeded(3):
        output, batch = example(torch.randn(6, 3, dtype=torch.float64))
    with seeded(4):
        found = loss(alpha=0.25, mmd=10)(output, batch)
    with seeded(4):
        discrepancy = loss().discrepancy(output.latents[0])
    assert found.terms["distortion"].item() == pytest.approx(found.distortion.item())
    rate = estimators.rate(output.latents[0]).value.mean()
    assert found.terms["rate"].item() == pytest.approx(0.75 * rate.item())
    assert found.rate.item() == pytest.approx(rate.item())
    assert found.terms["mmd"].item() == pytest.approx(10 * discrepancy.item())
    assert sum(found.terms.values()).item() == pytest.approx(found.objective.item())


def test_schedules_drive_both_weights() -> None:
    with seeded(5):
        output, batch = example(torch.randn(6, 3, dtype=torch.float64))
    found = loss(alpha=0, mmd=10)(output, batch, Context({"beta": 0.0, "mmd": 0.0}))
    assert found.terms["rate"].item() == found.terms["mmd"].item() == 0
    assert found.objective.item() == pytest.approx(found.distortion.item())


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_a_far_aggregate_scores_worse_and_the_gradient_pulls_it_back(kernel: str) -> None:
    with seeded(6):
        near = torch.randn(200, 2, dtype=torch.float64)
    far = (near + 3).requires_grad_()
    objective = loss(kernel=kernel)
    with seeded(7):
        close = objective.discrepancy(example(near)[0].latents[0]).item()
        value = objective.discrepancy(example(far)[0].latents[0])
    assert abs(close) < 0.02 < 0.2 < value.item()
    (gradient,) = torch.autograd.grad(value, [far])
    assert (gradient.mean(0) > 0).all()


def test_every_option_changes_the_objective() -> None:
    with seeded(8):
        output, batch = example(torch.randn(6, 3, dtype=torch.float64))
    found = set()
    changes: list[dict[str, object]] = [
        {},
        {"alpha": 0.1},
        {"mmd": 5.0},
        {"kernel": "rbf"},
        {"bandwidth": 2.0},
        {"multi_scale": False},
        {"unbiased": False},
    ]
    for options in changes:
        with seeded(9):
            found.add(round(loss(**options)(output, batch).objective.item(), 9))
    assert len(found) == len(changes)


def test_priors_without_reparameterisation_a_draw_an_image_and_single_images_work() -> None:
    parts = Independent(Normal(torch.zeros(4, 3), torch.ones(4, 3)), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(4)), parts)
    each = DiagonalNormal(torch.zeros(6, 3), torch.zeros(6, 3))
    for prior in (mixture, each, each.expand((2, 6))):
        output, batch = example(torch.zeros(6, 3), prior, samples=2)
        assert loss()(output, batch).objective.isfinite()
    output, batch = example(torch.zeros(1, 3))
    assert loss()(output, batch).objective.isfinite()


def test_declares_that_it_couples_the_batch() -> None:
    assert InfoVAE.batch_coupled
