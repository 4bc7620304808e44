"""The user's own images from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import torch

from genzoo.errors import UsageError
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.decode import ImageFile, Target, shape_of
from genzoo_datasets.decoding import read_images
from genzoo_datasets.division import divide
from genzoo_datasets.listing import Found, Tree, digest, tree
from genzoo_datasets.options import ImageFolderOptions
from genzoo_datasets.unpack import is_archive, unpacked

_NAME = "image-folder"


class ImageFolder(PixelDataset):
    """Images from files, one class a sub-folder, or all in one folder and without labels.

    If the folder holds ``train`` and ``test``, these are the splits; otherwise the images are divided by a seed. Files
    and classes are taken in the order of their names. The folder may be a .zip or .tar archive.

    Many images are decoded once, into a memory-mapped file of the cache folder; see `genzoo.parts.decoded`. Another
    list of files, size or time of change of any, or other options of decoding, make another such file.
    """

    @property
    def _own(self) -> ImageFolderOptions:
        return cast(ImageFolderOptions, self.options)

    @cached_property
    def _root(self) -> Path:
        root = Path(self._own.root).expanduser()
        if self._own.root and is_archive(root):
            root = unpacked(root)
        root = root.absolute()
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
    def _trees(self) -> dict[str, Tree]:
        """The image files by split; all under no name where a seed divides them."""
        return {name: tree(self._root / name) for name in (self.splits if self._divided else ("",))}

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the sub-folders that hold images; empty where the images lie in the folder itself."""
        first, *rest = map(_classes_of, self._trees.values())
        for other in rest:
            if other != first:
                name = sorted(set(first) ^ set(other))[0]
                raise UsageError(f"image-folder: train and test must hold the same classes, got {name!r} in one alone.")
        return first

    @cached_property
    def _target(self) -> Target:
        first = next(iter(self._listed("train")), None)
        if first is None:
            raise UsageError(f"image-folder: {self._root} must hold at least one image, got none.")
        channels, height, width = shape_of(ImageFile(first[0].path), _NAME)
        size = self._own.size
        return Target(_NAME, self._own.channels or channels, size or height, size or width, self._own.resize)

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
        found, labels = self._files(name)
        files = [ImageFile(image.path) for image in found]
        images, pages = read_images(self, name, files, self._target, {"digest": digest(found)}, self._root)
        return Split(images, torch.tensor(labels, dtype=torch.int64) if self._classes else None, pages=pages)

    def names(self, split: str) -> Sequence[str]:
        """See `Dataset.names`: paths below the folder."""
        return [Path(image.path).relative_to(self._root).as_posix() for image in self._files(split)[0]]

    def _listed(self, split: str) -> list[tuple[Found, int]]:
        """The files that the split is taken from, each with the index of its class."""
        listed = self._trees[split if self._divided else ""]
        if not self._classes:
            return [(image, 0) for image in listed.loose]
        return [(image, label) for label, name in enumerate(self._classes) for image in listed.classes[name]]

    def _files(self, split: str) -> tuple[list[Found], list[int]]:
        pairs = self._listed(split)
        if not self._divided:
            pairs = [
                pairs[index]
                for index in divide(len(pairs), self._own, split, torch.tensor([label for _, label in pairs])).tolist()
            ]
        return [image for image, _ in pairs], [label for _, label in pairs]


def _classes_of(listed: Tree) -> tuple[str, ...]:
    names = tuple(listed.classes)
    if names and listed.loose:
        raise UsageError(
            "image-folder: images must lie in class folders or all in one folder, "
            f"got {listed.loose[0].path} beside {names[0]!r}."
        )
    return names
