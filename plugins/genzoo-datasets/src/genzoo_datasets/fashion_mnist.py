"""The FashionMNIST dataset."""

from __future__ import annotations

from typing import cast

from torchvision.datasets import FashionMNIST

from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.fetched import read_fetched
from genzoo_datasets.options import FetchedOptions


class FashionMnist(PixelDataset):
    """Pictures of clothes: 60,000 training and 10,000 test images, 28×28 and grey, in ten classes.

    Made by Zalando; MIT licence. Fetched once into ``root``, by default the folder of
    `genzoo.parts.cache.cache_folder`; the checksums are verified at each reading.

    References:
        Xiao, Rasul and Vollgraf 2017, *Fashion-MNIST*, arXiv:1708.07747.
    """

    licence = "MIT"

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec((1, 28, 28), classes=10, class_names=tuple(FashionMNIST.classes))

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        return read_fetched(FashionMNIST, "fashion-mnist", name, cast(FetchedOptions, self.options).root)
