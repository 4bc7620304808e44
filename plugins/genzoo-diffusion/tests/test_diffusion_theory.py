"""The diffusion prior against what is known where the best denoiser is: for latents that are normal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genzoo.types import ImageSpec, LatentSpec
from genzoo_diffusion.diffusion import Diffusion
from genzoo_diffusion.options import DiffusionOptions

IMAGE = ImageSpec((1, 2, 2), levels=2, classes=3)
MEAN, DEVIATION, DIMENSIONS = 0.7, 0.4, 3


class Best(nn.Module):
    """The field that errs least for latents of N(0.7, 0.4²), by Bayes' rule."""

    def __init__(self, prior: Callable[[], Diffusion]) -> None:
        super().__init__()
        self._prior = prior
        self.time = torch.zeros(())

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        prior = self._prior()
        snr = prior.log_snr(self.time).reshape(-1, 1)
        alpha, sigma = torch.sigmoid(snr).sqrt(), torch.sigmoid(-snr).sqrt()
        noise = sigma * (z - alpha * MEAN) / (alpha**2 * DEVIATION**2 + sigma**2)
        clean = (z - sigma * noise) / alpha
        return noise if prior.options.predicts == "noise" else alpha * noise - sigma * clean


def best(**options: Any) -> Diffusion:
    prior = Diffusion(DiffusionOptions(**options), LatentSpec((DIMENSIONS,)), IMAGE).double()
    field = Best(lambda: prior)
    prior.prepare(lambda image, condition: field)
    genuine = prior.at

    def at(latents: Tensor, time: Tensor, label: Tensor | None = None, *, drop: float = 0.0) -> Tensor:
        field.time = time.double()
        return genuine(latents, time, label, drop=drop)

    prior.at = at  # type: ignore[method-assign]
    prior.begun = True
    return prior.eval()


@pytest.mark.parametrize("predicts", ["v", "noise"])
def test_the_bound_of_the_best_denoiser_is_the_entropy(predicts: str) -> None:
    """Kingma et al. 2021, section 4: the gap of the bound is a divergence of the reverse process, 0 for the best one."""
    torch.manual_seed(0)
    prior = best(predicts=predicts)
    latents = MEAN + DEVIATION * torch.randn(200_000, DIMENSIONS, dtype=torch.float64)
    found = prior.nll(latents)
    entropy = 0.5 * DIMENSIONS * math.log(2 * math.pi * math.e * DEVIATION**2)
    error = float(found.std()) / math.sqrt(len(found))
    assert error < 0.05
    assert float(found.mean()) == pytest.approx(entropy, abs=5 * error + 0.002)


def test_a_worse_denoiser_has_a_greater_bound() -> None:
    torch.manual_seed(0)
    prior = best()
    latents = MEAN + DEVIATION * torch.randn(50_000, DIMENSIONS, dtype=torch.float64)
    torch.manual_seed(1)
    least = prior.nll(latents).mean()
    genuine = prior.field.forward
    prior.field.forward = lambda z, condition: genuine(z, condition) + 0.1  # type: ignore[method-assign]
    torch.manual_seed(1)
    assert prior.nll(latents).mean() > least + 0.05


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
@pytest.mark.parametrize("predicts", ["v", "noise"])
def test_draws_have_the_mean_and_the_deviation_of_the_latents(sampler: str, predicts: str) -> None:
    torch.manual_seed(0)
    drawn = best(sampler=sampler, predicts=predicts, steps=400).draw(20_000)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(drawn.std()) == pytest.approx(DEVIATION, rel=0.02)


def test_ddim_draws_at_the_start_alone() -> None:
    def second(sampler: str) -> Tensor:
        torch.manual_seed(0)
        prior = best(sampler=sampler, steps=5)
        prior.draw(7)
        return torch.randn(1)

    torch.manual_seed(0)
    torch.randn(7, DIMENSIONS, dtype=torch.float64)
    after = torch.randn(1)
    assert torch.equal(second("ddim"), after)
    assert not torch.equal(second("ancestral"), after)


@pytest.mark.parametrize(("most", "least"), [(10.0, -10.0), (13.3, -5.0), (3.0, 0.0)])
def test_the_log_snr_falls_from_end_to_end(most: float, least: float) -> None:
    prior = best(most_snr=most, least_snr=least)
    time = torch.linspace(0, 1, 101, dtype=torch.float64)
    snr = prior.log_snr(time)
    assert float(snr[0]) == pytest.approx(most)
    assert float(snr[-1]) == pytest.approx(least, abs=1e-9)
    assert bool((snr.diff() < 0).all())
    torch.testing.assert_close(prior.time_of(snr), time)


def test_the_bound_that_is_minimised_is_the_one_that_is_reported() -> None:
    prior, latents = best(weighting="bound"), torch.randn(10, DIMENSIONS, dtype=torch.float64)
    torch.manual_seed(3)
    fitted = prior.fit_loss(latents)
    torch.manual_seed(3)
    torch.testing.assert_close(fitted, prior.nll(latents) / DIMENSIONS)


class Labelled(nn.Module):
    """Says 10 times the class, and −1 without one."""

    def __init__(self, image: Any, condition: Any) -> None:
        super().__init__()

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        shown = condition[:, -3:]
        value = torch.where(shown.sum(1) > 0, 10.0 * shown.argmax(1), -1.0)
        return value[:, None].expand_as(z)


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, -1.0), (1.0, 20.0), (2.0, 41.0)])
def test_guidance_goes_from_the_field_without_a_label_to_that_with_it_and_beyond(
    guidance: float, expected: float
) -> None:
    prior = Diffusion(DiffusionOptions(conditional=True, guidance=guidance), LatentSpec((DIMENSIONS,)), IMAGE)
    prior.prepare(Labelled)
    found = prior.guided(torch.zeros(4, DIMENSIONS), torch.full((4,), 0.5), torch.tensor([2, 2, 2, 2]))
    torch.testing.assert_close(found, torch.full((4, DIMENSIONS), expected))


def test_some_labels_are_left_out_in_fitting_and_none_in_measuring() -> None:
    prior = Diffusion(DiffusionOptions(conditional=True, drop_label=0.3), LatentSpec((DIMENSIONS,)), IMAGE)
    seen: list[Tensor] = []

    class Seeing(Labelled):
        def forward(self, z: Tensor, condition: Tensor) -> Tensor:
            seen.append(condition[:, -3:].sum(1))
            return super().forward(z, condition)

    prior.prepare(Seeing)
    latents, label = torch.randn(20_000, DIMENSIONS), torch.randint(3, (20_000,))
    prior.train().fit_loss(latents, label)
    assert float(seen[-1].mean()) == pytest.approx(0.7, abs=0.02)
    prior.eval().fit_loss(latents, label)
    with torch.no_grad():
        prior.log_prob(latents, label)
    assert bool((torch.stack(seen[-2:]) == 1).all())
