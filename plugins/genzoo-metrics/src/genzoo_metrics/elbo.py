"""Distortion, rate and elbo of the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.interfaces import Measurement, Metric, PerImage, RunView
from genzoo.interfaces.measurement import fingerprints
from genzoo.randomness import derive, seeded
from genzoo_metrics.options import ElboOptions

IMAGES = 500
"""Images encoded at once."""

ROWS = 2000
"""Images decoded at once, counting each posterior sample."""


class Elbo(Metric):
    r"""The elbo of the test set, :math:`-(D + R)`, with its distortion and rate.

    .. math:: D = -E_{q(z|x)} \log p(x|z), \quad R = \mathrm{KL}(q(z|x) \,\|\, p(z))

    in nats per image, estimated with one seeded posterior sample an image and, under names that end in the number, with
    ``samples``. Names that end in ``-se`` are standard errors of the mean over images; with one image there are none.

    References:
        Equation 4 of the report.
    """

    reads = frozenset({"test"})
    estimates = MappingProxyType({"": "elbo"})
    direction = "higher"
    unit = "nats"

    @property
    def samples(self) -> int:
        return cast(ElboOptions, self.options).samples

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("all test images")

    def _protocol(self, images: str) -> str:
        return (
            f"{images}, float32, one seeded posterior sample per image; beside it {self.samples} samples per image; "
            "standard errors are over images"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        numbers: dict[str, float] = {}
        elbo = torch.zeros(0)
        for samples, suffix in ((1, ""), (self.samples, f"-{self.samples}")):
            distortion, rates = measure(run, samples)
            rate = rates.sum(0)
            parts = {"elbo": -(distortion + rate), "distortion": distortion, "rate": rate}
            elbo = parts["elbo"] if suffix == "" else elbo
            if len(rates) > 1:
                parts |= {f"rate-level-{level + 1}": values for level, values in enumerate(rates)}
            for name, values in parts.items():
                key = "" if name + suffix == "elbo" else name + suffix
                numbers[key] = values.mean().item()
                if len(values) > 1:
                    numbers[f"{name}{suffix}-se"] = values.std().item() / math.sqrt(len(values))
        seen = torch.cat([fingerprints(batch.image) for batch in run.batches(IMAGES)])
        return Measurement(
            numbers,
            protocol=self._protocol(f"{run.split().count} test images"),
            per_image=PerImage(elbo, torch.arange(len(elbo)), seen),
        )


def measure(run: RunView, samples: int) -> tuple[Tensor, Tensor]:
    """Distortion and rates of every test image, each the mean over its posterior samples.

    Args:
        run: The run; the noise derives from its seed.
        samples: Posterior samples an image, at least 1.

    Returns:
        Float64 distortion ``[N]`` and rates ``[L, N]``, top level first, in nats.
    """
    batch = run.batch()
    distortions: list[Tensor] = []
    rates: list[Tensor] = []
    for start in range(0, len(batch), IMAGES):
        part = batch[slice(start, start + IMAGES)]
        at_once = max(1, ROWS // len(part))
        distortion = torch.zeros(len(part), dtype=torch.float64)
        rate = torch.zeros(len(run.model.levels), len(part), dtype=torch.float64)
        for done in range(0, samples, at_once):
            count = min(at_once, samples - done)
            with seeded(derive(run.seed, "elbo", samples, start, done)):
                output = run.model(part, samples=count)
            distortion += estimators.distortion(output, part.image).cpu().double().sum(0)
            levels = estimators.rates(output.latents)
            rate += torch.stack([level.value.cpu().double().sum(0) for level in levels])
        distortions.append(distortion / samples)
        rates.append(rate / samples)
    return torch.cat(distortions), torch.cat(rates, 1)
