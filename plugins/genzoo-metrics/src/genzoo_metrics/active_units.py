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
"""Samples of the other levels that each average of a level's posterior mean is over, where there are several levels."""


class ActiveUnits(Metric):
    r"""The number of latent units u with :math:`\mathrm{Var}_x(E_{q(u|x)}[u])` above a threshold.

    Over all test images and, for several levels, over the units of all of them, with each level's number beside, and the
    mean of the variances as ``mean-variance``. A unit below the threshold carries nothing about the image.

    With several levels the posterior mean of one is itself an average over samples of another. Two averages of different
    samples are taken, and their covariance over images is the variance without the noise of sampling.

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
        if len(means[0][0]) < 2:
            raise UsageError("active-units: the test set must hold at least 2 images, got 1.", "Raise --limit.")
        levels = [estimators.unit_variances(one, other) for one, other in means]
        variances = torch.cat(levels)
        active = [int((level > self.threshold).sum()) for level in levels]
        numbers = {
            "": float(sum(active)),
            "units": float(len(variances)),
            "mean-variance": max(0.0, variances.mean().item()),
        }
        if len(active) > 1:
            numbers |= {f"level-{level + 1}": float(count) for level, count in enumerate(active)}
        return numbers


def posterior_means(run: RunView) -> tuple[tuple[Tensor, Tensor], ...]:
    """E_q[z|x] of every test image, twice ``[N, D]`` a level, top first.

    With several levels, one may depend on a sample of another; each of the two is then an average over `SAMPLES` of its
    own. With one level they are the same.
    """
    batch = run.batch()
    halves = 2 if len(run.model.levels) > 1 else 1
    samples = 2 * SAMPLES if halves == 2 else 1
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, len(batch), IMAGES):
        with seeded(derive(run.seed, "units", start)):
            latents = run.model.encode(batch[slice(start, start + IMAGES)], samples=samples).latents
        # A posterior without a dimension of samples is the same for each of them.
        means = [latent.posterior.mean.expand_as(latent.sample) for latent in latents]
        parts.append(tuple(mean.unflatten(0, (halves, -1)).mean(1).flatten(2) for mean in means))
    levels = [torch.cat(level, 1) for level in zip(*parts, strict=True)]
    return tuple((level[0], level[-1]) for level in levels)
