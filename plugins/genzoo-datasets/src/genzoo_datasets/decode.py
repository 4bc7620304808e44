"""Decoding image files into one array, row by row.

The array is given by the caller and written in place, one file a row and in the order of the files. So a folder that is
too large for memory can later be decoded once into a memory-mapped array of the same shape, named after the files'
names, sizes and times and the `Target`, and the caller alone would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo.errors import CorruptError, UsageError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Names that end otherwise are no images."""

_EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa"})
_GREY = frozenset({"1", "L", "LA", "La"})


@dataclass(frozen=True)
class Target:
    """What each image must become: channels, height and width, and whether another size is scaled and cropped."""

    channels: int
    height: int
    width: int
    resize: bool = False


def shape_of(file: Path) -> tuple[int, int, int]:
    """Channels (1 where it is stored grey, else 3), height and width of an image file."""
    image = _open(file)
    width, height = image.size
    return (1 if image.mode in _GREY else 3), height, width


def decode(files: Sequence[Path], target: Target, into: np.ndarray) -> None:
    """Decode each file into its row.

    Args:
        files: Image files.
        target: What each must become.
        into: uint8 ``[len(files), channels, height, width]``, written.

    Raises:
        UsageError: If an image has another size and is not to be resized, or more than 8 bits a channel.
        CorruptError: If a file cannot be decoded.
    """
    for row, file in enumerate(files):
        image = _open(file)
        if image.size != (target.width, target.height):
            if not target.resize:
                raise UsageError(
                    f"image-folder: every image must be {target.height}×{target.width} pixels, "
                    f"got {image.height}×{image.width} in {file}.",
                    "Set resize to scale and crop it.",
                )
            image = ImageOps.fit(
                _converted(image, target), (target.width, target.height), method=Image.Resampling.LANCZOS
            )
        pixels = np.asarray(_converted(image, target))
        into[row] = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _converted(image: Image.Image, target: Target) -> Image.Image:
    return image.convert("L" if target.channels == 1 else "RGB")


def _open(file: Path) -> Image.Image:
    try:
        with Image.open(file) as stored:
            if stored.mode not in _EIGHT_BITS:
                raise UsageError(
                    f"image-folder: images must have 8 bits a channel, got mode {stored.mode} in {file}.", "Convert it."
                )
            # Decodes, so that a damaged file is found here, and turns a photograph the way it was held.
            return ImageOps.exif_transpose(stored)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise CorruptError(
            f"image-folder: {file} must be an image that can be decoded, got {error}.", f"Replace or delete {file}."
        ) from error
