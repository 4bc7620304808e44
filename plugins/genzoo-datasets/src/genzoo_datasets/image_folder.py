"""The user's own images from a folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch

from genzoo.errors import UsageError
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.decode import EXTENSIONS, Target, decode, shape_of
from genzoo_datasets.division import divide
from genzoo_datasets.options import ImageFolderOptions
from genzoo_datasets.unpack import is_archive, unpacked


class ImageFolder(PixelDataset):
    """Images from files, one class a sub-folder, or all in one folder and without labels.

    If the folder holds ``train`` and ``test``, these are the splits; otherwise the images are divided by a seed. Files
    and classes are taken in the order of their names. The folder may be a .zip or .tar archive.
    """

    @property
    def _own(self) -> ImageFolderOptions:
        return cast(ImageFolderOptions, self.options)

    @cached_property
    def _root(self) -> Path:
        root = Path(self._own.root).expanduser()
        if self._own.root and is_archive(root):
            root = unpacked(root)
        if not self._own.root or not root.is_dir():
            raise UsageError(
                f"image-folder: root must be a folder or an archive of images, got {self._own.root!r}.",
                "Set the dataset's option root.",
            )
        return root

    @cached_property
    def _divided(self) -> bool:
        """Whether the folder itself tells training from test images."""
        held = [(self._root / name).is_dir() for name in self.splits]
        if any(held) and not all(held):
            absent = self.splits[held.index(False)]
            raise UsageError(f"image-folder: {self._root} must hold both train and test or neither, got no {absent}.")
        return all(held)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the sub-folders that hold images; empty where the images lie in the folder itself."""
        if not self._divided:
            return _classes_of(self._root)
        train, test = (_classes_of(self._root / name) for name in self.splits)
        if train != test:
            name = sorted(set(train) ^ set(test))[0]
            raise UsageError(f"image-folder: train and test must hold the same classes, got {name!r} in one alone.")
        return train

    @cached_property
    def _target(self) -> Target:
        first = next(iter(self._listed("train")), None)
        if first is None:
            raise UsageError(f"image-folder: {self._root} must hold at least one image, got none.")
        channels, height, width = shape_of(first[0])
        size = self._own.size
        return Target(self._own.channels or channels, size or height, size or width, self._own.resize)

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`; the first image file is read."""
        target = self._target
        names = self._classes
        return ImageSpec(
            (target.channels, target.height, target.width),
            classes=len(names) or None,
            class_names=names or None,
        )

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        target = self._target
        files, labels = self._files(name)
        images = np.empty((len(files), target.channels, target.height, target.width), np.uint8)
        decode(files, target, images)
        return Split(torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64) if self._classes else None)

    def _listed(self, split: str) -> list[tuple[Path, int]]:
        """The files that the split is taken from, each with the index of its class."""
        folder = self._root / split if self._divided else self._root
        if not self._classes:
            return [(file, 0) for file in _images(folder)]
        return [(file, label) for label, name in enumerate(self._classes) for file in _images(folder / name, deep=True)]

    def _files(self, split: str) -> tuple[list[Path], list[int]]:
        pairs = self._listed(split)
        if not self._divided:
            pairs = [pairs[index] for index in divide(len(pairs), self._own, split).tolist()]
        return [file for file, _ in pairs], [label for _, label in pairs]


def _images(folder: Path, deep: bool = False) -> list[Path]:
    found = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        file for file in found if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file()
    )


def _classes_of(folder: Path) -> tuple[str, ...]:
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    names = tuple(path.name for path in below if _images(path, deep=True))
    loose = _images(folder)
    if names and loose:
        raise UsageError(
            f"image-folder: images must lie in class folders or all in one folder, got {loose[0]} beside {names[0]!r}."
        )
    return names
