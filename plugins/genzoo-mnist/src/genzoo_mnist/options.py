"""Options of the mnist dataset. Imports no torch."""

from __future__ import annotations

from genzoo.parts.pixel_options import PixelOptions


class MnistOptions(PixelOptions):
    """Binarization and augmentation."""
