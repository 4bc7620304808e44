"""The metric `reconstruction-mse`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from genzoo.interfaces import Measurement, Metric, RunView
from genzoo_vq_vae.batches import batches
from genzoo_vq_vae.options import BatchOptions


class ReconstructionMSE(Metric):
    r"""The mean squared error of what is decoded from the posterior, over pixels in [0, 1].

    .. math:: \frac{1}{N P} \sum_{n,i} (x_{ni} - \hat x_{ni})^2

    Beside it ``normalised``, the same over the variance of the test images' pixels. The reconstruction is the likelihood's
    mean at one posterior sample, as it is shown, in [0, 1].

    Args:
        options: Images encoded at a time.

    References:
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 4.1.
    """

    reads = frozenset({"test"})
    direction: ClassVar[Literal["higher", "lower"] | None] = "lower"
    bounds: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    unit: ClassVar[str] = "squared range of a pixel"

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("all test images")

    def _protocol(self, images: str) -> str:
        return f"{images}, likelihood's mean at one posterior sample; normalised by the test pixels' variance"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        options = cast(BatchOptions, self.options)
        squared, total, total_squared, pixels = 0.0, 0.0, 0.0, 0
        for batch in batches(run, options.batch_size):
            shown = run.model.likelihood.display(run.model(batch).likelihood)[0]
            squared += _sum((batch.image - shown).square())
            total += _sum(batch.image)
            total_squared += _sum(batch.image.square())
            pixels += batch.image.numel()
        variance = total_squared / pixels - (total / pixels) ** 2
        # Images of one grey value have no variance to compare with.
        return Measurement(
            {"": squared / pixels, "normalised": squared / pixels / variance if variance > 0 else float("nan")},
            units={"normalised": ""},
            protocol=self._protocol(f"{run.split().count} test images"),
        )


def _sum(value: Tensor) -> float:
    return value.sum(dtype=torch.float64).item()
