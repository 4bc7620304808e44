"""elbo and active-units against exact values of small hand-written models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import UsageError
from genzoo.interfaces import Dataset, Likelihood, Model, Parts, Prior, RunView
from genzoo.options import NoOptions
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, Latent, LatentSpec, Split
from genzoo_metrics import elbo
from genzoo_metrics.active_units import ActiveUnits
from genzoo_metrics.elbo import Elbo
from genzoo_metrics.options import ActiveUnitsOptions, ElboOptions

SPEC = ImageSpec((1, 2, 2), levels=None)
LOG_SCALE = -1.0


class UnitNormal(Likelihood):
    def distribution(self, raw: Tensor) -> Distribution:
        return Independent(Normal(raw, torch.ones_like(raw), validate_args=False), 3, validate_args=False)


class StandardPrior(Prior):
    def forward(self, *, label: Tensor | None = None, encode: object = None) -> Distribution:
        return StandardNormal(self.latent.shape)


class Line(Model):
    """z is the mean pixel with noise, beside a unit that is pure noise; every pixel of p(x|z) has mean z."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})

    def __init__(self, levels: int = 1) -> None:
        spec = LatentSpec((2,))
        prior = StandardPrior(NoOptions(), spec, SPEC)
        super().__init__(NoOptions(), Parts(SPEC, None, UnitNormal(NoOptions()), lambda latent: prior))  # type: ignore[arg-type]
        self.levels = (spec,) * levels
        self.prior = prior

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        centre = batch.image.flatten(1).mean(1)
        mean = torch.stack([centre, torch.zeros_like(centre)], 1)
        posterior = DiagonalNormal(mean, torch.full_like(mean, 2 * LOG_SCALE))
        top = Latent(posterior, self.prior(), posterior.rsample((samples,)))
        if len(self.levels) == 1:
            return Encoding((top,))
        # The lower level copies a sample of the upper one, whose second unit is noise around a constant.
        below = DiagonalNormal(top.sample, torch.zeros_like(top.sample))
        return Encoding((top, Latent(below, self.prior(), below.rsample())))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        value = latents[0][..., 0]
        return self.likelihood(value[..., None, None, None].expand(*value.shape, *SPEC.shape))


class Points(Dataset):
    def __init__(self, count: int) -> None:
        super().__init__(NoOptions())
        self.count = count

    @property
    def spec(self) -> ImageSpec:
        return SPEC

    def split(self, name: str) -> Split:
        return Split(torch.rand(self.count, *SPEC.shape, generator=torch.Generator().manual_seed(0)))


def view(count: int = 1200, seed: int = 0, levels: int = 1) -> RunView:
    dataset = Points(count)
    return RunView("line", Line(levels).eval(), dataset, {"test": dataset.split("test")}, seed=seed)


def exact(run: RunView) -> tuple[Tensor, Tensor]:
    """E_q[D] and R of every image, by hand."""
    image = run.batch().image.flatten(1).double()
    mean = image.mean(1)
    variance = math.exp(2 * LOG_SCALE)
    distortion = 0.5 * ((image - mean[:, None]).square().sum(1) + 4 * variance) + 2 * math.log(2 * math.pi)
    rate = 0.5 * (mean.square() + 2 * (variance - 1 - 2 * LOG_SCALE))
    return distortion, rate


def test_elbo_agrees_with_the_exact_one() -> None:
    run = view()
    numbers = Elbo(ElboOptions()).evaluate(run)
    distortion, rate = exact(run)
    assert numbers["rate"] == pytest.approx(rate.mean().item(), rel=1e-6)
    assert numbers["rate-50"] == pytest.approx(numbers["rate"], rel=1e-6)
    for suffix in ("", "-50"):
        error = numbers[f"distortion{suffix}-se"]
        assert 0 < error < 0.05
        assert numbers[f"distortion{suffix}"] == pytest.approx(distortion.mean().item(), abs=4 * error)
        total = numbers[f"elbo{suffix}" if suffix else ""]
        assert total == pytest.approx(-(numbers[f"distortion{suffix}"] + numbers[f"rate{suffix}"]), rel=1e-9)
    # Fifty samples leave the spread over images, of which the exact values know the size.
    spread = distortion.std().item() / math.sqrt(len(distortion))
    assert numbers["distortion-50-se"] == pytest.approx(spread, rel=0.25)
    assert numbers["distortion-se"] > numbers["distortion-50-se"]


def test_samples_are_honoured_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    run = view(count=70)
    distortion, _ = exact(run)
    monkeypatch.setattr(elbo, "IMAGES", 32)
    monkeypatch.setattr(elbo, "ROWS", 6400)
    found, rates = elbo.measure(run, 4000)
    assert found.shape == (70,)
    assert rates.shape == (1, 70)
    # A sample's distortion has a variance of about (2s²)² · 2 + …, below 1 here.
    assert (found - distortion).abs().max() < 5 / math.sqrt(4000)


def test_elbo_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = Elbo(ElboOptions(samples=3)).evaluate(view(50))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert Elbo(ElboOptions(samples=3)).evaluate(view(50)) == first
    assert torch.equal(state, torch.get_rng_state())
    assert Elbo(ElboOptions(samples=3)).evaluate(view(50, seed=1))[""] != first[""]
    assert {"elbo-3", "elbo-3-se", "distortion-3"} <= set(first)


def test_elbo_of_one_image_has_no_error() -> None:
    numbers = Elbo(ElboOptions(samples=3)).evaluate(view(1))
    assert set(numbers) == {"", "distortion", "rate", "elbo-3", "distortion-3", "rate-3"}


def test_elbo_of_two_levels_reports_each_rate() -> None:
    numbers = Elbo(ElboOptions(samples=5)).evaluate(view(50, levels=2))
    assert numbers["rate"] == pytest.approx(numbers["rate-level-1"] + numbers["rate-level-2"])
    _, rate = exact(view(50))
    assert numbers["rate-level-1"] == pytest.approx(rate.mean().item(), rel=1e-6)
    assert numbers[""] == pytest.approx(-(numbers["distortion"] + numbers["rate"]))


def test_active_units_counts_those_that_vary_with_the_image() -> None:
    run = view(500)
    # The mean of four uniform pixels has variance 1/48 = 0.0208; the other unit's mean is 0.
    numbers = ActiveUnits(ActiveUnitsOptions()).evaluate(run)
    assert (numbers[""], numbers["units"]) == (1, 2)
    assert numbers["mean-variance"] == pytest.approx(1 / 96, rel=0.3)
    assert ActiveUnits(ActiveUnitsOptions(threshold=0.03)).evaluate(run)[""] == 0


def test_active_units_of_two_levels() -> None:
    numbers = ActiveUnits(ActiveUnitsOptions()).evaluate(view(500, levels=2))
    assert [numbers[name] for name in ("", "units", "level-1", "level-2")] == [2, 4, 1, 1]


def test_noise_from_another_level_makes_no_unit_active() -> None:
    # A lower unit that copies noise of variance 0.135 varies by 0.135 / 20 when it is averaged over 20 samples.
    numbers = ActiveUnits(ActiveUnitsOptions(threshold=0.004)).evaluate(view(500, levels=2))
    assert [numbers[name] for name in ("", "level-1", "level-2")] == [2, 1, 1]
    assert numbers["mean-variance"] == pytest.approx(1 / 96, rel=0.3)


class Shrunk(Line):
    """The same model with its latents, and their prior, scaled."""

    def __init__(self, scale: float, levels: int = 1) -> None:
        super().__init__(levels)
        self.scale = scale

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        shrunk: list[Latent] = []
        for latent in super().encode(batch, samples=samples).latents:
            normal = latent.posterior
            assert isinstance(normal, DiagonalNormal)
            moved = DiagonalNormal(self.scale * normal.mean, normal.log_variance + 2 * math.log(self.scale))
            shrunk.append(Latent(moved, latent.prior, self.scale * latent.sample))
        return Encoding(tuple(shrunk))


@pytest.mark.parametrize("scale", [0.05, 1.0, 40.0])
@pytest.mark.parametrize("levels", [1, 2])
def test_units_in_use_do_not_depend_on_the_scale_of_the_latents(scale: float, levels: int) -> None:
    run = replace(view(500, levels=levels), model=Shrunk(scale, levels).eval())
    numbers = ActiveUnits(ActiveUnitsOptions()).evaluate(run)
    assert numbers["in-use"] == levels
    assert [numbers.get(f"in-use-level-{level}") for level in (1, 2)] == ([1, 1] if levels == 2 else [None, None])
    # By the published definition none is active when latents are small, and noise is when they are large.
    assert numbers[""] == {0.05: 0, 1.0: levels}.get(scale, numbers[""])


def test_active_units_names_both_definitions() -> None:
    protocol = ActiveUnits(ActiveUnitsOptions(threshold=0.02)).protocol
    assert "active: variance of the posterior mean over all test images above 0.02" in protocol
    assert "in use: above 0.01 of the unit's variance over the aggregate posterior" in protocol


def test_active_units_of_one_image_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 images, got 1"):
        ActiveUnits(ActiveUnitsOptions()).evaluate(view(1))
