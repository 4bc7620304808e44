"""Decoding image files into one array, row by row. Imports no torch, for the processes that decode."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from genzoo.bounded import UNREADABLE_ZIP, reason
from genzoo.errors import CorruptError, GenzooError, UsageError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Names that end otherwise are no images."""

_EIGHT_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa"})
GREY = frozenset({"1", "L", "LA", "La"})
"""Modes of images that are stored grey."""

_ALPHA = frozenset({"LA", "PA", "RGBA", "La", "RGBa"})
_SRGB_GAMMA = 1 / 2.2
_BITS_PER_SAMPLE = 258
"""The tag of a TIFF file."""


@dataclass(frozen=True)
class Target:
    """What each image must become.

    Args:
        dataset: Name of the dataset, for errors.
        channels: 1 or 3.
        height: In pixels.
        width: In pixels.
        resize: Whether another size is scaled and cropped.
        crop: Side of the square in the middle that is kept, before it is scaled; None for as much as fits.
    """

    dataset: str
    channels: int
    height: int
    width: int
    resize: bool = False
    crop: int | None = None


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a file of its own, or a member of a .zip file."""

    path: str
    member: str = ""

    def __str__(self) -> str:
        return f"{self.member} in {self.path}" if self.member else self.path


class Decoder:
    """Decodes image files, each always to the same bytes; holds .zip files open.

    Args:
        target: What each image must become.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._archives: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for archive in self._archives.values():
            archive.close()

    def decode(self, files: Sequence[ImageFile]) -> np.ndarray:
        """The images of files.

        Returns:
            uint8 ``[len(files), channels, height, width]``.

        Raises:
            UsageError: If an image has another size and is not to be resized, or more than 8 bits a channel.
            CorruptError: If a file cannot be decoded.
        """
        target = self._target
        into = np.empty((len(files), target.channels, target.height, target.width), np.uint8)
        for row, file in enumerate(files):
            image = self._opened(file)
            if image.size != (target.width, target.height):
                image = self._fitted(image, file)
            pixels = np.asarray(self._converted(image))
            into[row] = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return into

    def _fitted(self, image: Image.Image, file: ImageFile) -> Image.Image:
        target, size = self._target, (self._target.width, self._target.height)
        if not target.resize:
            raise UsageError(
                f"{target.dataset}: every image must be {target.height}×{target.width} pixels, "
                f"got {image.height}×{image.width} in {file}.",
                "Set resize to scale and crop it.",
            )
        image = self._converted(image)
        if target.crop is not None:
            if min(image.size) < target.crop:
                raise UsageError(
                    f"{target.dataset}: crop must be at most {min(image.size)}, as {file} is {image.height}×{image.width}, "
                    f"got {target.crop}."
                )
            left, top = (image.width - target.crop) // 2, (image.height - target.crop) // 2
            image = image.crop((left, top, left + target.crop, top + target.crop))
        return ImageOps.fit(image, size, method=Image.Resampling.LANCZOS)

    def _converted(self, image: Image.Image) -> Image.Image:
        if has_alpha(image):
            # What is hidden below transparent pixels is no part of the image.
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
        return image.convert("L" if self._target.channels == 1 else "RGB")

    def _opened(self, file: ImageFile) -> Image.Image:
        if not file.member:
            return opened(file.path, file, self._target.dataset)
        try:
            if file.path not in self._archives:
                self._archives[file.path] = zipfile.ZipFile(file.path)
            stored = self._archives[file.path].read(file.member)
        except UNREADABLE_ZIP as error:
            raise _undecodable(file, self._target.dataset, error) from error
        return opened(io.BytesIO(stored), file, self._target.dataset)


def shape_of(file: ImageFile, dataset: str) -> tuple[int, int, int]:
    """Channels (1 where it is stored grey, else 3), height and width of an image in a file of its own."""
    image = opened(file.path, file, dataset)
    width, height = image.size
    return (1 if is_grey(image) else 3), height, width


def is_grey(image: Image.Image) -> bool:
    """Whether an image is stored without colours: as grey, or by a palette of greys alone, as GIF and PNG may."""
    if image.mode not in {"P", "PA"}:
        return image.mode in GREY
    palette = image.getpalette() or []
    return bool(palette) and palette[::3] == palette[1::3] == palette[2::3]


def has_alpha(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or a transparent colour."""
    return image.mode in _ALPHA or "transparency" in image.info


def has_other_profile(image: Image.Image) -> bool:
    """Whether an image says that its numbers are not those of sRGB: by a colour profile, or a PNG's gamma."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes):
        return not any("sRGB".encode(coding) in profile for coding in ("ascii", "utf-16-be"))
    gamma = image.info.get("gamma")
    return isinstance(gamma, float) and "srgb" not in image.info and abs(gamma - _SRGB_GAMMA) > 0.01


def refuse_deep(stored: Image.Image, file: ImageFile, dataset: str) -> None:
    """Refuse an image with more than 8 bits a channel; Pillow would cut off the low ones of one in colour.

    Args:
        stored: Opened and not yet decoded.
        file: For errors.
        dataset: For errors.

    Raises:
        UsageError: If it has.
    """
    got = f"mode {stored.mode}" if stored.mode not in _EIGHT_BITS else _stored_bits(stored)
    if got:
        raise UsageError(
            f"{dataset}: images must have 8 bits a channel, got {got} in {file}.",
            "Convert it to 8 bits, scaled as you want its grey levels, or put the arrays in an .npz file.",
        )


def _stored_bits(stored: Image.Image) -> str:
    """More than 8 bits a channel in words, empty where there are no more."""
    if isinstance(stored, TiffImageFile):
        deepest = max(stored.tag_v2.get(_BITS_PER_SAMPLE, (8,)))
        return f"{deepest}" if deepest > 8 else ""
    told = str(getattr(stored, "tile", ""))  # How the decoder unpacks it: 'RGB;16B', or the greatest value of a PPM.
    deep = stored.format == "PNG" and ";16" in told
    deep |= stored.format == "PPM" and any(int(number) > 255 for number in re.findall(r"', (\d+)\)", told))
    return "16" if deep else ""


def opened(content: str | io.BytesIO, file: ImageFile, dataset: str) -> Image.Image:
    """A decoded image, turned the way a photograph was held.

    Args:
        content: A path, or what the file holds.
        file: For errors.
        dataset: For errors.
    """
    try:
        with Image.open(content) as stored:
            refuse_deep(stored, file, dataset)
            # Decodes, so that a damaged file is found here.
            return ImageOps.exif_transpose(stored)
    except GenzooError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsing comes upon.
        raise _undecodable(file, dataset, error) from error


def _undecodable(file: ImageFile, dataset: str, error: Exception) -> CorruptError:
    then = f"Delete {file.path} to fetch it anew." if file.member else f"Replace or delete {file}."
    return CorruptError(f"{dataset}: {file} must be an image that can be decoded, got {reason(error)}.", then)
