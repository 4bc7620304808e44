"""How many latent units a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import UsageError
from genzoo.interfaces import Metric, RunView
from genzoo.randomness import derive, seeded
from genzoo.types import Capability
from genzoo_metrics.options import ActiveUnitsOptions

IMAGES = 500
"""Images encoded at once."""

SAMPLES = 20
"""Samples of the upper levels that the posterior mean of a lower one is averaged over."""


class ActiveUnits(Metric):
    r"""The number of latent units u with :math:`\mathrm{Var}_x(E_{q(u|x)}[u])` above a threshold.

    Over all test images and, for several levels, over the units of all of them, with each level's number beside, and the
    mean of the variances as ``mean-variance``. A unit below the threshold carries nothing about the image.

    References:
        Section 5 of Burda et al. 2016, *Importance weighted autoencoders*.
    """

    requires = frozenset({Capability.REAL_LATENT})
    direction = "higher"
    bounds = (0, None)
    unit = "units"

    @property
    def threshold(self) -> float:
        return cast(ActiveUnitsOptions, self.options).threshold

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return f"variance of the posterior mean over all test images above {self.threshold:g}"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        means = posterior_means(run)
        if len(means[0]) < 2:
            raise UsageError("active-units: the test set must hold at least 2 images, got 1.", "Raise --limit.")
        variances = torch.cat([level.flatten(1).var(0) for level in means])
        active = [int(estimators.active_units(level, self.threshold).sum()) for level in means]
        numbers = {
            "": float(sum(active)),
            "units": float(len(variances)),
            "mean-variance": variances.mean().item(),
        }
        if len(active) > 1:
            numbers |= {f"level-{level + 1}": float(count) for level, count in enumerate(active)}
        return numbers


def posterior_means(run: RunView) -> tuple[Tensor, ...]:
    """E_q[z|x] of every test image, one ``[N, *event]`` a level, top first.

    Lower levels depend on a sample of the upper ones; their means are averaged over `SAMPLES` of it.
    """
    batch = run.batch()
    samples = SAMPLES if len(run.model.levels) > 1 else 1
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(batch), IMAGES):
        with seeded(derive(run.seed, "units", start)):
            latents = run.model.encode(batch[slice(start, start + IMAGES)], samples=samples).latents
        # A posterior without a dimension of samples is the same for each of them.
        parts.append(tuple(latent.posterior.mean.expand_as(latent.sample).mean(0) for latent in latents))
    return tuple(torch.cat(level) for level in zip(*parts, strict=True))
