"""The shapes of the sprites, and stamps of them with the share of each pixel that they cover."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHAPES = ("square", "ellipse", "heart")

_SUBPIXELS = 8
_BATCH = 64


def inside(shape: str, x: Tensor, y: Tensor) -> Tensor:
    """Whether points lie in a shape that fits the unit disc.

    Args:
        shape: One of `SHAPES`.
        x: To the right.
        y: Upwards, of the same shape as ``x``.

    Returns:
        bool, of the same shape.

    Example:
        >>> inside("square", torch.tensor([0.6, 0.7]), torch.zeros(2))
        tensor([ True, False])
    """
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) <= 0.66
    if shape == "ellipse":
        return (x / 0.46).square() + (y / 0.93).square() <= 1
    # (u² + v² − 1)³ ≤ u² v³, a heart that points down, shrunk and moved into the disc.
    u, v = 1.344 * x, 1.344 * y + 0.25
    return (u.square() + v.square() - 1) ** 3 <= u.square() * v**3


def stamp(shape: str, scale: Tensor, angle: Tensor, side: int) -> Tensor:
    """Shapes on a square of ``side`` pixels, each pixel the share of it that is covered, on an 8 by 8 subgrid.

    Args:
        shape: One of `SHAPES`.
        scale: ``[N]`` in (0, 1]; at 1 the unit disc of `inside` touches the sides.
        angle: ``[N]`` in radians, counter-clockwise.
        side: In pixels.

    Returns:
        uint8 ``[N, side, side]``, 255 where covered in full.
    """
    grid = (torch.arange(side * _SUBPIXELS, dtype=torch.float64) + 0.5) / (side * _SUBPIXELS) * 2 - 1
    parts: list[Tensor] = []
    for start in range(0, len(scale), _BATCH):
        size = scale[start : start + _BATCH, None, None].double()
        turn = angle[start : start + _BATCH, None, None].double()
        right, up = grid[None, None, :] / size, -grid[None, :, None] / size
        covered = inside(shape, turn.cos() * right + turn.sin() * up, turn.cos() * up - turn.sin() * right)
        cells = covered.view(-1, side, _SUBPIXELS, side, _SUBPIXELS).sum((2, 4))
        parts.append((cells * 255 / _SUBPIXELS**2).round().to(torch.uint8))
    return torch.cat(parts)


def stamps(scales: int, orientations: int, side: int) -> Tensor:
    """Every shape at every scale (half to full) and orientation (the circle in equal steps, from 0).

    Returns:
        uint8 ``[shapes · scales · orientations, side, side]``, the orientation running fastest.
    """
    sizes = torch.linspace(0.5, 1.0, scales) if scales > 1 else torch.ones(1)
    angles = torch.arange(orientations) * (2 * math.pi / orientations)
    size, angle = sizes.repeat_interleave(orientations), angles.repeat(scales)
    return torch.cat([stamp(shape, size, angle, side) for shape in SHAPES])
