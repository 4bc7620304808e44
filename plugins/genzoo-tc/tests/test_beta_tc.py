"""The total-correlation objective against hand computation."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Independent, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.randomness import seeded
from genzoo.types import Batch, Capability, Context, Latent, ModelOutput
from genzoo_tc.beta_tc import BetaTC
from genzoo_tc.options import BetaTCOptions

SAMPLINGS = ["weighted", "stratified"]


def example(images: int = 5, *, collapsed: bool = False, dims: int = 3) -> tuple[ModelOutput, Batch]:
    with seeded(0):
        mean = torch.zeros(images, dims, dtype=torch.float64)
        log_variance = torch.zeros_like(mean)
        if not collapsed:
            mean, log_variance = torch.randn_like(mean), torch.randn_like(mean) - 1
        mean.requires_grad_()
        posterior = DiagonalNormal(mean, log_variance)
        z = posterior.rsample((1,))
        image = torch.rand(images, 1, 2, 2, dtype=torch.float64)
    likelihood = Independent(Normal(z.sum(-1)[..., None, None, None].expand(1, images, 1, 2, 2), 1.0), 3)
    return ModelOutput((Latent(posterior, StandardNormal((dims,), dtype=torch.float64), z),), likelihood), Batch(image)


def loss(**options: float | str) -> BetaTC:
    return BetaTC(BetaTCOptions.model_validate(options))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_unit_weights_give_the_negative_elbo_with_a_monte_carlo_rate(sampling: str) -> None:
    output, batch = example()
    found = loss(beta=1, sampling=sampling)(output, batch, Context(dataset_size=100))
    expected = estimators.distortion(output, batch.image) + estimators.log_ratio(output.latents[0])
    assert found.objective.item() == pytest.approx(expected.mean().item(), rel=1e-12)
    assert sum(found.terms.values()).item() == pytest.approx(found.objective.item(), rel=1e-12)


def test_weighted_terms_are_equations_4_and_5() -> None:
    output, batch = example()
    size = 100
    found = loss(alpha=2, beta=3, gamma=0.5, sampling="weighted")(output, batch, Context(dataset_size=size))
    latent = output.latents[0]
    mean, scale = latent.posterior.mean, latent.posterior.stddev
    information = correlation = divergence = torch.zeros((), dtype=torch.float64)
    for i in range(5):
        z = latent.sample[0, i]
        each: list[Tensor] = [Normal(mean[j], scale[j]).log_prob(z).exp() for j in range(5)]
        log_q = (torch.stack([density.prod() for density in each]).sum() / (size * 5)).log()
        log_product = (torch.stack(each).sum(0) / (size * 5)).log().sum()
        information = information + (each[i].log().sum() - log_q) / 5
        correlation = correlation + (log_q - log_product) / 5
        divergence = divergence + (log_product - Normal(0.0, 1.0).log_prob(z).sum()) / 5
    assert found.terms["mutual_information_weighted"].item() == pytest.approx(2 * information.item())
    assert found.terms["total_correlation_weighted"].item() == pytest.approx(3 * correlation.item())
    assert found.terms["dimension_wise_kl_weighted"].item() == pytest.approx(0.5 * divergence.item())


def test_no_term_is_called_total_correlation_without_its_estimator() -> None:
    output, batch = example()
    for sampling in SAMPLINGS:
        names = set(loss(sampling=sampling)(output, batch, Context(dataset_size=9)).terms) - {"distortion"}
        assert len(names) == 3
        assert all(name.endswith(sampling) for name in names)


def test_collapse_is_zero_when_stratified_and_log_n_a_dimension_when_weighted() -> None:
    output, batch = example(collapsed=True, dims=10)
    context = Context(dataset_size=737_280)
    stratified = loss(beta=1, sampling="stratified")(output, batch, context).terms
    assert stratified["total_correlation_stratified"].item() == pytest.approx(0, abs=1e-9)
    assert stratified["mutual_information_stratified"].item() == pytest.approx(0, abs=1e-9)
    weighted = loss(beta=1, sampling="weighted")(output, batch, context).terms
    assert weighted["total_correlation_weighted"].item() == pytest.approx(9 * math.log(737_280))


def test_a_schedule_drives_beta_and_zero_removes_the_term() -> None:
    output, batch = example()
    objective = loss(beta=4)
    assert objective.quantities == {"beta": 4.0}
    full = objective(output, batch, Context(dataset_size=50)).terms["total_correlation_weighted"]
    half = objective(output, batch, Context({"beta": 2.0}, 50)).terms["total_correlation_weighted"]
    none = objective(output, batch, Context({"beta": torch.zeros(())}, 50)).terms["total_correlation_weighted"]
    assert half.item() == pytest.approx(full.item() / 2)
    assert none.item() == 0


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_gradient_is_finite_and_one_image_works(sampling: str) -> None:
    for images in (1, 5):
        output, batch = example(images)
        found = loss(sampling=sampling)(output, batch)
        (gradient,) = torch.autograd.grad(found.objective, [output.latents[0].posterior.mean])
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_declares_what_it_needs() -> None:
    assert BetaTC.requires == {Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR}
    assert BetaTC.batch_coupled
    with pytest.raises(ValidationError, match="beta"):
        BetaTCOptions(beta=-1)
