"""Binarization of grey-scale images, for any dataset: its options and the functions behind them.

Importing this module imports no torch, so that options modules may use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options
from genzoo.randomness import derive

if TYPE_CHECKING:
    from torch import Tensor

Binarize = Literal["none", "dynamic", "static", "threshold"]

_CHUNK = 2048


class BinarizeOptions(Options):
    """Options of a dataset whose images may be binarized."""

    acts_with: ClassVar[dict[str, dict[str, Any]]] = {"binarize_seed": {"binarize": "static"}}

    binarize: Binarize = Field(
        "none",
        description="none: grey as stored; dynamic: training pixels drawn anew each time they are seen, test pixels drawn "
        "once; static: all pixels drawn once; threshold: pixels above one half.",
    )
    binarize_seed: int = Field(0, ge=0, description="Seed of the pixels that are drawn once.")


def binarize_anew(image: Tensor) -> Tensor:
    """Draw every pixel from Bernoulli(pixel), from the global random state.

    Args:
        image: float, any shape, in [0, 1].

    Returns:
        0.0 or 1.0, of the same shape and dtype.
    """
    import torch

    return torch.bernoulli(image)


def binarize_once(image: Tensor, seed: int = 0) -> Tensor:
    """Draw every pixel from Bernoulli(pixel), always to the same result for the same image and seed.

    The uniform draw behind a pixel is a hash of the seed, the image's grey levels and the pixel's place, so the result
    depends on neither batch size nor order, touches no random state, and leaves a binary image as it is.

    Args:
        image: uint8 (0–255) or float in [0, 1], ``[B, C, H, W]``.
        seed: Another seed draws another binarization.

    Returns:
        uint8 0 or 255 for uint8 images, otherwise 0.0 or 1.0; of the same shape.

    Example:
        >>> import torch
        >>> image = torch.full((2, 1, 28, 28), 0.5)
        >>> torch.equal(binarize_once(image)[:1], binarize_once(image[:1]))
        True
    """
    import torch

    pixels = image[0].numel() if len(image) else 0
    generator = torch.Generator().manual_seed(derive(seed, "binarize"))
    keys = torch.randint(1 << 62, (2, pixels), generator=generator).to(image.device)
    out = torch.empty_like(image)
    for start in range(0, len(image), _CHUNK):
        part = image[start : start + _CHUNK]
        flat = part.flatten(1)
        grey = flat if image.dtype == torch.uint8 else (flat * 255).round()
        # A key an image, then 24 uniform bits a pixel; the multipliers are those of SplitMix64.
        mixed = (grey.long() * keys[0]).sum(1, keepdim=True) ^ keys[1]
        mixed = (mixed ^ _shift_right(mixed, 30)) * -0x40A7B892E31B1A47
        mixed = (mixed ^ _shift_right(mixed, 27)) * -0x6B2FB644ECCEEE15
        uniform = _shift_right(mixed, 40).float().div_(1 << 24)
        level = flat.float() / 255 if image.dtype == torch.uint8 else flat
        on = (level > uniform).reshape(part.shape)
        out[start : start + _CHUNK] = on * (255 if image.dtype == torch.uint8 else 1)
    return out


def binarize_above_half(image: Tensor) -> Tensor:
    """Set pixels above one half to 1 and the others to 0.

    Args:
        image: uint8 (0–255) or float in [0, 1], any shape.

    Returns:
        uint8 0 or 255 for uint8 images, otherwise 0.0 or 1.0; of the same shape.
    """
    import torch

    if image.dtype == torch.uint8:
        return (image > 127).to(torch.uint8) * 255
    return (image > 0.5).to(image.dtype)


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Logical shift of int64, which torch shifts arithmetically."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
