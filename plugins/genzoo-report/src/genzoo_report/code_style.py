"""Metric `code-style`: what the latent dimensions have to do with slant and stroke thickness."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.parts.latents import encode
from genzoo.types import Capability
from genzoo_report.options import CodeStyleOptions


class CodeStyle(Metric):
    """Pearson correlation of each latent dimension with the slant and the stroke thickness of the test images.

    Slant is the shear of the ink, the ratio of image moments μ₁₁ / μ₀₂ (LeCun et al. 1998 deskew by it): positive for
    ink that leans to the right. Thickness is twice the ink's area over the length of its outline, in pixels.
    ``slant_z1`` is the correlation of the first dimension with slant. The metric's own number is the largest of all in
    absolute value. Images without ink are left out.

    Args:
        options: The threshold of ink.
    """

    requires = frozenset({Capability.REAL_LATENT})
    reads = frozenset({"test"})
    direction = None
    bounds = (-1.0, 1.0)
    unit = ""

    options: CodeStyleOptions

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("the test images")

    def _protocol(self, images: str) -> str:
        return f"Pearson correlation of posterior means of {images} with moment slant and area-over-outline thickness"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        batch = run.batch()
        codes = encode(run.model, batch).top.flatten(1).double()
        ink = batch.image.double().mean(1)
        styles = {"slant": slant(ink), "thickness": thickness(ink, self.options.threshold)}
        numbers: dict[str, float] = {}
        for name, style in styles.items():
            seen = torch.isfinite(style)
            for j in range(codes.shape[1]):
                numbers[f"{name}_z{j + 1}"] = correlation(codes[seen, j], style[seen])
        return Measurement(
            {"": max(numbers.values(), key=abs), **numbers}, protocol=self._protocol(f"{run.split().count} test images")
        )


def slant(ink: Tensor) -> Tensor:
    """Shear of images ``[N, H, W]``, ``[N]``: μ₁₁ / μ₀₂ with y upwards; NaN where there is no ink.

    Example:
        >>> leaning = torch.eye(9).flip(1)[None]
        >>> round(slant(leaning).item(), 3)
        1.0
    """
    height, width = ink.shape[1:]
    y = -torch.arange(height, dtype=ink.dtype, device=ink.device)[:, None]
    x = torch.arange(width, dtype=ink.dtype, device=ink.device)[None]
    mass = ink.sum((1, 2))
    centre_y = (ink * y).sum((1, 2)) / mass
    centre_x = (ink * x).sum((1, 2)) / mass
    dy = y - centre_y[:, None, None]
    dx = x - centre_x[:, None, None]
    return (ink * dx * dy).sum((1, 2)) / (ink * dy.square()).sum((1, 2))


def thickness(ink: Tensor, threshold: float = 0.5) -> Tensor:
    """Mean stroke thickness of images ``[N, H, W]`` in pixels, ``[N]``: 2 · area / outline; NaN where there is no ink.

    A long stroke of width w and length l has area w·l and outline about 2·l.

    Example:
        >>> stroke = torch.zeros(1, 40, 20)
        >>> stroke[:, :, 8:11] = 1
        >>> round(thickness(stroke).item(), 1)
        3.0
    """
    solid = (ink > threshold).to(ink.dtype)
    # Edges between ink and paper, counted along both axes; what leaves the picture is no edge.
    across = (solid[:, :, 1:] - solid[:, :, :-1]).abs().sum((1, 2))
    down = (solid[:, 1:] - solid[:, :-1]).abs().sum((1, 2))
    outline = torch.where(across + down > 0, across + down, torch.nan)
    return 2 * solid.sum((1, 2)) / outline


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two vectors; 0 where one of them is constant."""
    if len(a) < 2:
        return 0.0
    return float(F.cosine_similarity(a - a.mean(), b - b.mean(), dim=0).clamp(-1, 1))
