"""The CIFAR-10 dataset."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import cast

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from genzoo.bounded import reason
from genzoo.errors import CorruptError
from genzoo.parts.cache import cache_folder
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.fetch import check_md5, fetch
from genzoo_datasets.options import FetchedOptions
from genzoo_datasets.unpack import UNREADABLE_ARCHIVE

ARCHIVE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""As published beside the archive."""

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}


class Cifar10(PixelDataset):
    """Photographs of animals and vehicles: 50,000 training and 10,000 test images, 32×32 and in colour, ten classes.

    Made by Krizhevsky, Nair and Hinton. Fetched once, from where torchvision fetches it, into ``root``, by default the
    folder of `genzoo.parts.cache.cache_folder`; the checksum is verified at each reading. It is the binary archive:
    the other one is a pickle, which genzoo does not read.

    References:
        Krizhevsky 2009, *Learning multiple layers of features from tiny images*.
    """

    licence = "none stated by its authors"

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec(_SHAPE, classes=10, class_names=_CLASSES)

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        folder = cache_folder(cast(FetchedOptions, self.options).root) / "CIFAR10"
        fetch(folder, [(ARCHIVE, MD5)], [CIFAR10.url.rpartition("/")[0] + "/"], name="cifar10")
        check_md5(folder / ARCHIVE, MD5, name="cifar10")
        records = torch.cat(_records(folder / ARCHIVE, _FILES[name]))
        return Split(records[:, 1:].reshape(-1, *_SHAPE), records[:, 0].to(torch.int64))


def _records(archive: Path, names: tuple[str, ...]) -> list[Tensor]:
    """One label and one image a row, for each of some files in the archive."""
    hint = f"Delete {archive} to fetch it anew."
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes()), mode="r|gz") as packed:
            for member in packed:
                name = PurePosixPath(member.name).name
                if name in names and (content := packed.extractfile(member)) is not None:
                    found[name] = content.read()
                if len(found) == len(names):
                    break
    except UNREADABLE_ARCHIVE as error:
        raise CorruptError(f"cifar10: {archive} must be a whole archive, got {reason(error)}.", hint) from error
    for name in names:
        if not found.get(name) or len(found[name]) % _RECORD:
            raise CorruptError(f"cifar10: {name} in {archive} must be records of {_RECORD} bytes.", hint)
    return [torch.frombuffer(bytearray(found[name]), dtype=torch.uint8).view(-1, _RECORD) for name in names]
