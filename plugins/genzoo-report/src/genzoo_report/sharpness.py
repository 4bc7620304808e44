"""Metric `sharpness`: how blurred reconstructions are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.parts.latents import decode_images, encode
from genzoo_report.options import SharpnessOptions


class Sharpness(Metric):
    """Variance of the Laplacian of reconstructions over that of their inputs, each a mean over test images.

    Reconstructions are decoded from the posterior mean (the code of a discrete model). 1 is as sharp as the input, below
    1 is blurred, above 1 noisy.

    Args:
        options: How many images.

    References:
        Pech-Pacheco et al. 2000, *Diatom autofocusing in brightfield microscopy*.
    """

    reads = frozenset({"test"})
    # Above 1 is noise, so that neither direction is better everywhere.
    direction = None
    bounds = (0.0, None)
    unit = "times the input's"

    options: SharpnessOptions

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol(f"at most {self.options.images} test images")

    def _protocol(self, images: str) -> str:
        return f"mean over {images} of the Laplacian's variance, reconstructions from the posterior mean over inputs"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        batch = run.batch(self.options.images)
        rebuilt = decode_images(run.model, encode(run.model, batch).levels, batch.label)
        inputs, outputs = laplacian_variance(batch.image.cpu()).mean(), laplacian_variance(rebuilt).mean()
        numbers = {
            "": float(outputs / inputs.clamp_min(torch.finfo(inputs.dtype).tiny)),
            "inputs": float(inputs),
            "reconstructions": float(outputs),
        }
        return Measurement(
            numbers,
            units={"inputs": "squared pixel range", "reconstructions": "squared pixel range"},
            protocol=self._protocol(f"{run.split().subset(self.options.images).count} test images"),
        )


def laplacian_variance(images: Tensor) -> Tensor:
    """Variance of the 4-neighbour Laplacian of images ``[N, C, H, W]``, mean over channels, ``[N]``."""
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    flat = images.flatten(0, 1)[:, None]
    response = F.conv2d(flat, kernel, padding=1).flatten(1)
    return response.var(1, correction=0).unflatten(0, images.shape[:2]).mean(1)
