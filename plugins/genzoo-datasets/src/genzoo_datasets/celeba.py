"""The CelebA dataset."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torchvision.datasets import CelebA

from genzoo.errors import CorruptError
from genzoo.parts.cache import cache_folder
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.decode import ImageFile, Target
from genzoo_datasets.decoding import read_images
from genzoo_datasets.fetch import check_md5, fetch_from_drive
from genzoo_datasets.listing import Found, digest
from genzoo_datasets.options import CelebaOptions

PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"

_IMAGES = "img_align_celeba"
_ARCHIVE = f"{_IMAGES}.zip"
_PARTITION = "list_eval_partition.txt"
_ATTRIBUTES = "list_attr_celeba.txt"
_PARTS = {"train": "0", "test": "2"}


class Celeba(PixelDataset):
    """Faces of celebrities: 162,770 training and 19,962 test images, aligned, cropped and scaled to 64×64, in colour.

    Made by the Multimedia Laboratory of the Chinese University of Hong Kong, for research that is not commercial.
    Fetched once, from where torchvision fetches it, into ``root``, by default the folder of
    `genzoo.parts.cache.cache_folder`, and decoded once; see `genzoo.parts.decoded`. Where torchvision or a person has
    unpacked the archive, its folder is read. The division is the authors' own, and their validation set is not used.
    Labels say whether one attribute is there.

    References:
        Liu, Luo, Wang and Tang 2015, *Deep learning face attributes in the wild*, ICCV, arXiv:1411.7766.
        Larsen et al. 2016, *Autoencoding beyond pixels using a learned similarity metric*, arXiv:1512.09300, and many
        others scale the middle of the aligned images to 64×64.
    """

    licence = "for research that is not commercial"

    @property
    def _own(self) -> CelebaOptions:
        return cast(CelebaOptions, self.options)

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        shape = (3, self._own.size, self._own.size)
        if self._own.attribute is None:
            return ImageSpec(shape)
        name = self._own.attribute.replace("_", " ")
        return ImageSpec(shape, classes=2, class_names=(f"not {name}", name))

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        folder, names = self._folder, self.names(name)
        target = Target("celeba", 3, self._own.size, self._own.size, resize=True, crop=self._own.crop)
        if (folder / _IMAGES).is_dir():
            found = [_found(folder / _IMAGES / file) for file in names]
            files = [ImageFile(image.path) for image in found]
            images, pages = read_images(self, name, files, target, {"digest": digest(found)}, folder / _IMAGES)
        else:
            archive = folder / _ARCHIVE
            files = [ImageFile(str(archive), f"{_IMAGES}/{file}") for file in names]
            listed = hashlib.sha256("\n".join(names).encode()).hexdigest()
            told = {"archive": digest([_found(archive)]), "members": listed}
            images, pages = read_images(self, name, files, target, told, archive, lambda: _check(archive))
        return Split(images, self._labels(names), pages=pages)

    def names(self, split: str) -> list[str]:
        """See `Dataset.names`: those of the archive."""
        rows = (self._folder / _PARTITION).read_text(encoding="utf-8").splitlines()
        return [row.split()[0] for row in rows if row.split()[1:] == [_PARTS[split]]]

    @cached_property
    def _folder(self) -> Path:
        """Where the files are, fetched and verified; the archive is verified before it is decoded."""
        folder = cache_folder(self._own.root) / CelebA.base_folder
        texts = [_PARTITION, *([_ATTRIBUTES] if self._own.attribute else [])]
        needed = [*([] if (folder / _IMAGES).is_dir() else [_ARCHIVE]), *texts]
        listed = [entry for entry in CelebA.file_list if entry[2] in needed]
        fetch_from_drive(folder, listed, PAGE, name="celeba")
        for text in texts:
            check_md5(folder / text, _sums()[text], name="celeba")
        return folder

    def _labels(self, names: list[str]) -> torch.Tensor | None:
        """Whether each image has the attribute."""
        if self._own.attribute is None:
            return None
        _, header, *rows = (self._folder / _ATTRIBUTES).read_text(encoding="utf-8").splitlines()
        column = 1 + header.split().index(self._own.attribute)
        there = {values[0]: int(values[column] == "1") for values in map(str.split, rows)}
        return torch.tensor([there[file] for file in names])


def _check(archive: Path) -> None:
    check_md5(archive, _sums()[_ARCHIVE], name="celeba")


def _sums() -> dict[str, str]:
    return {name: md5 for _, md5, name in CelebA.file_list}


def _found(path: Path) -> Found:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise CorruptError(
            f"celeba: {path} must exist, got no file.", f"Delete {path.parent} to read the archive in its place."
        ) from None
    return Found(str(path), found.st_size, found.st_mtime_ns)
