"""The KMNIST dataset."""

from __future__ import annotations

from typing import cast

from torchvision.datasets import KMNIST

from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.fetched import read_fetched
from genzoo_datasets.options import FetchedOptions


class Kmnist(PixelDataset):
    """Cursive Japanese characters: 60,000 training and 10,000 test images, 28×28 and grey, in ten classes.

    Made by ROIS-DS CODH from the Kuzushiji dataset; licence CC BY-SA 4.0. Fetched once into ``root``, by default the
    folder of `genzoo.parts.cache.cache_folder`; the checksums are verified at each reading.

    References:
        Clanuwat et al. 2018, *Deep learning for classical Japanese literature*, arXiv:1812.01718.
    """

    licence = "CC-BY-SA-4.0"

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec((1, 28, 28), classes=10, class_names=tuple(KMNIST.classes))

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        return read_fetched(KMNIST, "kmnist", name, cast(FetchedOptions, self.options).root)
