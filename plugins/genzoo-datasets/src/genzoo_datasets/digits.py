"""scikit-learn's digits."""

from __future__ import annotations

from typing import cast

import torch

from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.division import divide
from genzoo_datasets.options import DigitsOptions


class Digits(PixelDataset):
    """Handwritten digits: 1,797 images, 8×8 with grey levels 0 to 16, in ten classes; comes with scikit-learn.

    The set is the test part of the UCI repository's *Optical recognition of handwritten digits* (CC BY 4.0); it is
    divided into training and test set by a seed.

    Example:
        >>> dataset = Digits(DigitsOptions())
        >>> len(dataset.split("train")), len(dataset.split("test"))
        (1438, 359)

    References:
        Alpaydin and Kaynak 1998, *Optical recognition of handwritten digits*.
    """

    licence = "CC-BY-4.0"

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec((1, 8, 8), classes=10, levels=17)

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        # scikit-learn takes a second to import, and sets Python's warnings filter.
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(pixels).float().div_(16).view(-1, 1, 8, 8)
        classes = torch.from_numpy(labels).to(torch.int64)
        index = divide(len(images), cast(DigitsOptions, self.options), name, classes)
        return Split(images[index], classes[index])
