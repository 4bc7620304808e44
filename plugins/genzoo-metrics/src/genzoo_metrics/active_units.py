"""How many latent units a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import UsageError
from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.randomness import derive, seeded
from genzoo.types import Capability
from genzoo_metrics.options import ActiveUnitsOptions

IMAGES = 500
"""Images encoded at once."""

SAMPLES = 20
"""Samples of the other levels that each average of a level's posterior mean is over, where there are several levels."""


class ActiveUnits(Metric):
    r"""How many latent units a model uses, by two definitions, over all test images and the units of all levels.

    *Active*, as published: units u with :math:`\mathrm{Var}_x(E_{q(u|x)}[u])` above a threshold. It is the headline, and
    ``level-1`` and so on are its counts of each level; ``mean-variance`` is the mean of the variances. It presumes that
    latents have the scale of N(0, I): a model with a learned prior whose latents are a twentieth as large has no active
    unit, and the units of a lower level whose prior is wide may all be active and say little.

    *In use*, free of scale: units of whose variance over the aggregate posterior more than 1 % comes from the image,
    :math:`\mathrm{Var}_x(E_{q(u|x)}[u]) / \mathrm{Var}_{q(z)}(u) > 0.01`, as ``in-use``, ``in-use-level-1`` and so on.
    Where the aggregate posterior matches N(0, I) the two agree.

    With several levels the posterior mean of one is itself an average over samples of another. Two averages of different
    samples are taken, and their covariance over images is the variance without the noise of sampling.

    References:
        Section 5 of Burda et al. 2016, *Importance weighted autoencoders*.
    """

    requires = frozenset({Capability.REAL_LATENT})
    reads = frozenset({"test"})
    direction = "higher"
    bounds = (0, None)
    unit = "units"

    @property
    def threshold(self) -> float:
        return cast(ActiveUnitsOptions, self.options).threshold

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("all test images")

    def _protocol(self, images: str) -> str:
        return (
            f"active: variance of the posterior mean over {images} above {self.threshold:g}; in use: above "
            f"{estimators.IN_USE:g} of the unit's variance over the aggregate posterior"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        found = units(run)
        if len(found[0].means) < 2:
            raise UsageError("active-units: the test set must hold at least 2 images, got 1.", "Raise --limit.")
        levels = [estimators.unit_variances(level.means, level.again) for level in found]
        variances = torch.cat(levels)
        active = [int((level > self.threshold).sum()) for level in levels]
        signals = [estimators.unit_signals(level.means, level.samples, level.again) for level in found]
        in_use = [int((level > estimators.IN_USE).sum()) for level in signals]
        numbers = {
            "": float(sum(active)),
            "in-use": float(sum(in_use)),
            "units": float(len(variances)),
            "mean-variance": max(0.0, variances.mean().item()),
        }
        if len(active) > 1:
            numbers |= {f"level-{level + 1}": float(count) for level, count in enumerate(active)}
            numbers |= {f"in-use-level-{level + 1}": float(count) for level, count in enumerate(in_use)}
        return Measurement(
            numbers,
            units={"mean-variance": "squared latent units"},
            protocol=self._protocol(f"{run.split().count} test images"),
        )


@dataclass(frozen=True)
class LevelUnits:
    """What the posteriors of one level are like.

    Args:
        means: E_q[z|x] of every test image, ``[N, D]``. With several levels, one may depend on a sample of another; it is
            then an average over `SAMPLES`.
        again: The same from other samples; with one level the same tensor.
        samples: Posterior samples of the same images, ``[K, N, D]``.
    """

    means: Tensor
    again: Tensor
    samples: Tensor


def units(run: RunView) -> tuple[LevelUnits, ...]:
    """The posteriors of all test images, top level first."""
    halves = 2 if len(run.model.levels) > 1 else 1
    samples = 2 * SAMPLES if halves == 2 else 1
    parts: list[tuple[tuple[Tensor, Tensor], ...]] = []
    for number, batch in enumerate(run.batches(IMAGES)):
        with seeded(derive(run.seed, "units", number * IMAGES)):
            latents = run.model.encode(batch, samples=samples).latents
        # A posterior without a dimension of samples is the same for each of them.
        means = [latent.posterior.mean.expand_as(latent.sample) for latent in latents]
        parts.append(
            tuple(
                (mean.unflatten(0, (halves, -1)).mean(1).flatten(2), latent.sample[:halves].flatten(2))
                for mean, latent in zip(means, latents, strict=True)
            )
        )
    found: list[LevelUnits] = []
    for level in zip(*parts, strict=True):
        mean, sample = torch.cat([one for one, _ in level], 1), torch.cat([two for _, two in level], 1)
        found.append(LevelUnits(mean[0], mean[-1], sample))
    return tuple(found)
