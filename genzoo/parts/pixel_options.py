"""The options that every image dataset shares. Imports no torch."""

from __future__ import annotations

from genzoo.parts.augment import AugmentOptions
from genzoo.parts.binarize import BinarizeOptions


class PixelOptions(AugmentOptions, BinarizeOptions):
    """Binarization and augmentation; a dataset's own options derive from it."""
