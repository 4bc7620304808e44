"""How far an importance-weighted bound can be trusted, and quadrature beside it, on models whose likelihood is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Dataset, Measurement, Model, RunView
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, Latent, LatentSpec, Split
from genzoo_nll.nll import NegativeLogLikelihood, estimate, importance_weights
from genzoo_nll.options import NegativeLogLikelihoodOptions
from genzoo_nll.quadrature import quadrature_nll

SHAPE = (1, 2, 3)


class Known(Model):
    """x = Wz + b_c + noise with z from a mixture of normals: log p(x) is that of a mixture of normals.

    Args:
        dims: Latent dimensions.
        noise: Standard deviation of a pixel; the posterior is about as narrow.
        widen: Of q, beside the posterior of N(0, I).
        shift: Of q's mean, in posterior standard deviations.
        means: Means of the prior's components, along every dimension, each with variance 1.
        classes: Labels, each with an offset of its own; 0 for a model without.
    """

    def __init__(
        self,
        dims: int = 2,
        *,
        noise: float = 0.5,
        widen: float = 1.0,
        shift: float = 0.0,
        means: Sequence[float] = (0.0,),
        classes: int = 0,
    ) -> None:
        nn.Module.__init__(self)
        self.image = ImageSpec(SHAPE, classes=classes or None)
        self.levels = (LatentSpec((dims,)),)
        kinds = {Capability.REAL_LATENT, Capability.ONE_LEVEL}
        self.capabilities = frozenset(kinds | ({Capability.CONDITIONAL} if classes else set()))  # type: ignore[misc]
        with seeded(0):
            self.decoder = nn.Parameter(torch.linalg.qr(torch.randn(6, dims)).Q * torch.linspace(1.5, 0.7, dims))
            self.offset = nn.Parameter(torch.randn(max(classes, 1), 6))
        self.noise, self.widen, self.shift = noise, widen, shift
        self.means = torch.tensor(means)[:, None].expand(-1, dims)

    def _offset(self, label: Tensor | None) -> Tensor:
        return self.offset[label] if self.image.classes and label is not None else torch.zeros(6)

    def prior_of_top(self, label: Tensor | None = None) -> Distribution:
        parts = Independent(Normal(self.means, 1.0), 1)
        return MixtureSameFamily(Categorical(torch.ones(len(self.means))), parts)

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        precision = 1 + self.decoder.square().sum(0) / self.noise**2
        mean = (batch.image.flatten(1) - self._offset(batch.label)) @ self.decoder / self.noise**2 / precision
        mean = mean + self.shift / precision.sqrt()
        posterior = DiagonalNormal(mean, (-precision.log() + 2 * math.log(self.widen)).expand_as(mean))
        return Encoding((Latent(posterior, self.prior_of_top(), posterior.rsample((samples,))),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        raw = nn.functional.linear(latents[0], self.decoder) + self._offset(label)
        return Independent(Normal(raw.reshape(*raw.shape[:-1], *SHAPE), self.noise, validate_args=False), 3)

    def exact(self, batch: Batch) -> Tensor:
        """−log p(x), float64 ``[B]``."""
        weight = self.decoder.detach().double()
        covariance = weight @ weight.T + self.noise**2 * torch.eye(6)
        offset = self._offset(batch.label).detach().double()
        each = [
            MultivariateNormal(weight @ mean.double(), covariance).log_prob(batch.image.flatten(1).double() - offset)
            for mean in self.means
        ]
        return math.log(len(each)) - torch.stack(each).logsumexp(0)


class Noise(Dataset):
    """Uniform images, with labels in turn where there are classes."""

    classes = 0

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec(SHAPE)

    def split(self, name: str) -> Split:
        images = torch.rand(37, *SHAPE, generator=torch.Generator().manual_seed(len(name)))
        return Split(images, torch.arange(37) % 3)


def view(model: Model) -> RunView:
    data = Noise(NoOptions())
    return RunView("known", model.eval(), data, {"train": data.split("train"), "test": data.split("test")})


def measured(model: Model, seed: int = 0, **options: object) -> Measurement:
    metric = NegativeLogLikelihood(NegativeLogLikelihoodOptions.model_validate(options))
    with seeded(seed):
        found = metric.evaluate(view(model))
    assert isinstance(found, Measurement)
    return found


# What the weights tell of themselves.


def test_effective_sample_sizes_of_known_weights() -> None:
    rows = [[0.0] * 8, [0.0] * 7 + [80.0], [0.0, 0.0] + [-200.0] * 6, [math.log(2), 0.0] + [-200.0] * 6]
    found = estimate(torch.tensor(rows, dtype=torch.float64).T)
    torch.testing.assert_close(found.effective, torch.tensor([8, 1, 2, 9 / 5], dtype=torch.float64))
    torch.testing.assert_close(found.nll[:2], torch.tensor([0, math.log(8) - 80], dtype=torch.float64))
    # Of even weights nothing is left to chance; where one decides, it is the most that the delta method gives.
    torch.testing.assert_close(found.variance[:2], torch.tensor([0, 1], dtype=torch.float64))
    torch.testing.assert_close(found.half[0], found.nll[0])


def test_the_bound_tightens_with_k_and_k_over_two_is_the_bound_of_half_the_samples() -> None:
    model = Known(widen=2.0)
    values: list[float] = []
    for samples in (2, 8, 64, 512):
        rows = [measured(model, seed, samples=samples, quadrature=0) for seed in range(20)]
        values.append(sum(row[""] for row in rows) / 20)
        assert sum(row["half"] for row in rows) / 20 > values[-1]
    assert values == sorted(values, reverse=True)
    batch = view(model).batch()
    exact = model.exact(batch).mean().item()
    assert values[-1] == pytest.approx(exact, abs=0.01)
    with seeded(1):
        weights = importance_weights(model, batch, 20_000)
    eights = -(weights.unflatten(0, (-1, 8)).logsumexp(1) - math.log(8)).mean().item()
    many = [measured(model, seed, samples=16, quadrature=0)["half"] for seed in range(40)]
    assert sum(many) / 40 == pytest.approx(eights, abs=0.02)


@pytest.mark.parametrize(("widen", "samples"), [(1.5, 50), (2.5, 200)])
def test_the_monte_carlo_error_is_the_spread_of_repetitions(widen: float, samples: int) -> None:
    found = [measured(Known(widen=widen), seed, samples=samples, quadrature=0) for seed in range(60)]
    spread = torch.tensor([row[""] for row in found]).std().item()
    told = sum(row["monte_carlo_error"] for row in found) / 60
    assert told == pytest.approx(spread, rel=0.3)
    assert told < 0.3 * found[0]["standard_error"], "the error over images is another"


def test_a_posterior_that_is_exact_has_even_weights_and_no_warning() -> None:
    found = measured(Known(), samples=20, quadrature=0)
    assert found["ess_p5"] == pytest.approx(20, rel=1e-3)
    assert found["monte_carlo_error"] < 1e-3
    assert found.warnings == ()
    assert found.units["ess_p5"] == found.units["samples"] == "samples"


@pytest.mark.parametrize("model", [Known(6, noise=0.05, widen=6.0), Known(6, noise=0.3, shift=3.0)])
def test_degenerate_weights_are_warned_of(model: Known) -> None:
    found = measured(model, samples=40)
    assert found["ess_p5"] < 2
    told = " ".join(found.warnings)
    assert f"effective sample size is {found['ess_p5']:.1f} or less of 40" in told
    assert f"the bound still falls: by {found['half'] - found['']:.2f} nats" in told


# Quadrature.


@pytest.mark.parametrize(
    "model",
    [
        Known(1),
        Known(2),
        Known(1, noise=0.01),
        Known(2, noise=0.02),
        Known(2, noise=3.0),
        Known(2, noise=0.2, shift=25.0),
        Known(2, noise=0.5, means=(-4.0, 4.0)),
        Known(1, noise=0.3, means=(-6.0, 0.0, 9.0), shift=-10.0),
        Known(2, noise=0.3, classes=3),
    ],
    ids=["1", "2", "narrow 1", "narrow 2", "flat", "far posterior", "two modes", "three modes", "conditional"],
)
def test_quadrature_is_the_likelihood_wherever_the_posterior_is(model: Known) -> None:
    batch = view(model).batch(12)
    batch = batch if model.image.classes else Batch(batch.image)
    found = quadrature_nll(model.eval(), batch)
    assert found.converged.all()
    exact = model.exact(batch)
    torch.testing.assert_close(found.nll, exact, atol=2e-3 + 2e-6 * exact.abs().max().item(), rtol=0)
    assert (found.nll - exact).abs().max() <= found.change.max() + 2e-3 + 2e-6 * exact.abs().max()


def test_quadrature_does_not_depend_on_how_images_are_batched() -> None:
    model = Known(2, noise=0.1)
    batch = view(model).batch(9)
    whole = quadrature_nll(model.eval(), batch).nll
    for rows in (1, 50):
        parts = torch.cat(
            [quadrature_nll(model, batch[slice(start, start + 2)], rows=rows * 40).nll for start in (0, 2, 4, 6, 8)]
        )
        torch.testing.assert_close(parts, whole, atol=1e-3, rtol=0)


def test_a_bound_that_misses_the_mass_is_named_beside_the_truth() -> None:
    """The weights alone look fine: all samples are far from the mode, and alike."""
    model = Known(2, noise=0.2, shift=6.0, widen=0.7)
    found = measured(model, samples=100, images=20, quadrature=8)
    chosen = view(model).split().subset(20).subset(8)
    exact = model.exact(Batch(chosen.batch().image)).mean().item()
    assert found["quadrature"] == pytest.approx(exact, abs=0.01)
    assert found["quadrature_images"] == 8
    assert found["importance_there"] > exact + 1
    (told,) = [text for text in found.warnings if "misses mass" in text]
    assert f"{found['importance_there']:.2f} nats where quadrature gives {exact:.2f} over the same 8 images" in told
    assert "quadrature over p(z) for 8 of them" in found.protocol


def test_quadrature_is_left_out_where_it_cannot_be_had() -> None:
    assert "quadrature" not in measured(Known(3), samples=4)
    assert "quadrature" not in measured(Known(2), samples=4, quadrature=0)
    assert "quadrature" in measured(Known(1), samples=4)


# What was done.


def test_the_protocol_and_the_values_per_image_are_those_of_the_images_measured() -> None:
    model = Known(2)
    found = measured(model, samples=30, images=10, quadrature=0)
    assert "10 of 37 test images, drawn in every class" in found.protocol
    assert "K = 30" in found.protocol
    assert found.per_image is not None
    assert found.per_image.value.mean().item() == pytest.approx(found[""])
    assert len(found.per_image.index.unique()) == len(found.per_image.image.unique()) == 10
    assert "all 37 test images, as" in measured(model, samples=2, quadrature=0).protocol
    again = measured(Known(2, widen=1.2), samples=30, images=10, quadrature=0).per_image
    assert again is not None
    assert torch.equal(again.image, found.per_image.image)


@pytest.mark.slow
def test_the_reports_vae_misses_mass_that_quadrature_finds() -> None:
    """The numbers of the page on pitfalls, on a tenth of its images; with all 150, 136.6 against 132.17."""
    import genzoo

    run = genzoo.load("zoo:report-vae")
    batch = run.view.split("test").head(15).batch()
    found = quadrature_nll(run.model, batch)
    assert found.converged.all()
    assert found.change.max() < 0.01
    with seeded(0):
        bound = estimate(importance_weights(run.model, batch, 200)).nll
    # A bound may lie below the truth by chance, but not by much and not on average.
    assert (bound - found.nll).min() > -2
    assert (bound - found.nll).mean() > 0.1
    again = quadrature_nll(run.model, batch, tolerance=1e-3)
    # The first halved its lattice until halving changed less than 0.01 nats.
    torch.testing.assert_close(found.nll, again.nll, atol=1e-2, rtol=0)
