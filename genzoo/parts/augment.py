"""Augmentation of small images, for any dataset: its options and the functions behind them.

Randomness comes from torch's global state, which the engine seeds at each step. Importing this module imports no
torch, so that options modules may use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from genzoo.options import Options

if TYPE_CHECKING:
    from torch import Tensor


class AugmentOptions(Options):
    """Options of a dataset whose training images may be augmented."""

    shift: int = Field(0, ge=0, le=16, description="Move training images by up to this many pixels in each direction.")
    flip: bool = Field(False, description="Mirror half of the training images, left to right.")


def random_shift(image: Tensor, pixels: int) -> Tensor:
    """Move each image by its own whole number of pixels, at most ``pixels`` up, down, left and right; zeros move in.

    Args:
        image: float ``[B, C, H, W]``.
        pixels: Largest move.

    Returns:
        The moved images, of the same shape.
    """
    import torch
    from torch.nn import functional as F

    if pixels == 0:
        return image
    count, channels, height, width = image.shape
    padded = F.pad(image, (pixels,) * 4)
    offset = torch.randint(2 * pixels + 1, (2, count, 1), device=image.device)
    rows = offset[0] + torch.arange(height, device=image.device)
    columns = offset[1] + torch.arange(width, device=image.device)
    index = torch.arange(count, device=image.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=image.device).view(1, -1, 1, 1)
    return padded[index, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_flip(image: Tensor) -> Tensor:
    """Mirror each image, left to right, with probability one half.

    Args:
        image: float ``[B, C, H, W]``.

    Returns:
        The images, of the same shape.
    """
    import torch

    mirrored = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
    return torch.where(mirrored, image.flip(-1), image)


def augment(image: Tensor, options: AugmentOptions) -> Tensor:
    """Shift and flip a batch ``[B, C, H, W]`` as the options say."""
    image = random_shift(image, options.shift)
    return random_flip(image) if options.flip else image
