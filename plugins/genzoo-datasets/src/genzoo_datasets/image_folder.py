"""The user's own images from a folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import cast
from unicodedata import normalize

import numpy as np
import torch

from genzoo.bounded import user_path
from genzoo.errors import GenzooError, UsageError
from genzoo.parts.described import split_line
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.decode import ImageFile, Target, shape_of
from genzoo_datasets.decoding import read_images
from genzoo_datasets.division import divide
from genzoo_datasets.inspection import Inspection, inspect
from genzoo_datasets.layout import Layout, layout
from genzoo_datasets.listing import Found, Tree, digest, each_once
from genzoo_datasets.options import ImageFolderOptions
from genzoo_datasets.passed import Passed
from genzoo_datasets.unpack import is_archive, unpacked

_NAME = "image-folder"


class ImageFolder(PixelDataset):
    """Images from files, one class a sub-folder, or all in one folder and without labels.

    If the folder holds ``train`` and ``test``, these are the splits, by the names of `genzoo_datasets.layout.NAMES` too;
    otherwise the images are divided by a seed, each class in proportion. Files and classes are taken in the order of
    their names. The folder may be a .zip or .tar archive. Links are followed, and each file is taken once; hidden files
    and folders are passed over at any depth. Images are in colour if one of them is, unless ``channels`` says otherwise.

    Many images are decoded once, into a memory-mapped file of the cache folder; see `genzoo.parts.decoded`. Another
    list of files, size or time of change of any, or other options of decoding, make another such file.
    """

    @property
    def _own(self) -> ImageFolderOptions:
        return cast(ImageFolderOptions, self.options)

    @cached_property
    def _given(self) -> Path:
        return user_path(self._own.root, f"{_NAME}: root")

    @cached_property
    def _archive(self) -> Path | None:
        """The folder that the archive was unpacked into; None of a folder."""
        return unpacked(self._given) if self._own.root and is_archive(self._given) else None

    @contextmanager
    def _named(self) -> Generator[None]:
        """A block whose errors name files of an archive as those, and not as what they were unpacked to."""
        try:
            yield
        except GenzooError as error:
            place = str(self._archive)
            error.message = error.message.replace(place + os.sep, f"{self._given}: ").replace(place, str(self._given))
            if place in error.hint:
                error.hint = "Correct the archive, or unpack it by hand and name the folder."
            raise

    @cached_property
    def _layout(self) -> Layout:
        root = self._archive or self._given
        if self._own.root and root.is_file():
            raise UsageError(
                f"image-folder: root must be a folder or an archive of images, got the file {str(root)!r}.",
                "A .zip or .tar file that is cut or of another kind is not known as one.",
            )
        if not self._own.root or not root.is_dir():
            raise UsageError(
                f"image-folder: root must be a folder or an archive of images, got {self._own.root!r}.",
                "Write --data.root FOLDER.",
            )
        with self._named():
            return layout(root, archive=self._archive is not None)

    @property
    def _divided(self) -> bool:
        """Whether the folder itself tells training from test images."""
        return "" not in self._layout.splits

    @cached_property
    def _passed(self) -> Passed:
        """What is no part of the images; complete once `_trees` is."""
        return Passed()

    @cached_property
    def _trees(self) -> dict[str, Tree]:
        """The image files by split, each file once; all under no name where a seed divides them."""
        with self._named():
            return each_once(self._layout.trees(self._passed), self._passed)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the sub-folders that hold images; empty where the images lie in the folder itself."""
        first, *rest = map(_classes_of, self._trees.values())
        for other in rest:
            if other != first:
                name, *others = sorted(set(first) ^ set(other))
                twin = any(normalize("NFC", name) == normalize("NFC", also) for also in others)
                raise UsageError(
                    f"image-folder: train and test must hold the same classes, got {name!r} in one alone.",
                    "The other has it too, but with accents coded otherwise; copy the folder's name from one to the other."
                    if twin
                    else "Rename it (upper and lower case differ), or add it to the other.",
                )
        return first

    @cached_property
    def _inspection(self) -> Inspection:
        names = self.splits if self._divided else ("train",)
        found = [image for name in names for image, _ in self._listed(name)]
        with self._named():
            return inspect([image.path for image in found], digest(found), _NAME)

    @cached_property
    def _target(self) -> Target:
        first = next(iter(self._listed("train")), None)
        if first is None:
            told = self._passed.told(str(self._layout.root)) or ""
            raise UsageError(f"image-folder: {self._given} must hold at least one image, got none. {told}".rstrip())
        with self._named():
            _, height, width = shape_of(ImageFile(first[0].path), _NAME)
        channels = self._own.channels or (3 if self._inspection.colour else 1)
        size = self._own.size
        return Target(_NAME, channels, size or height, size or width, self._own.resize)

    def describe(self) -> list[str]:
        """See `Dataset.describe`; no image is decoded but the first."""
        told = [f"{_NAME}: {self._own.root}; {self._inspection.sizes()} pixels.", *self._layout.notes]
        for name in self.splits:
            _, labels = self._files(name)
            counts = np.bincount(labels, minlength=len(self._classes)).tolist() if self._classes else None
            told.append(split_line(name, len(labels), self.spec, counts))
        return told

    def warnings(self) -> list[str]:
        """See `Dataset.warnings`."""
        chosen = self._own.channels is not None
        lost = self._inspection.warnings(self._target.channels, chosen=chosen)
        passed = self._passed.told(str(self._layout.root))
        return [f"{_NAME}: {text}" for text in ([passed] if passed else []) + lost]

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
        # What is transparent was dropped, and not laid on white, in caches without this word.
        identity = {"digest": digest(found), "alpha": "white"}
        with self._named():
            images, pages = read_images(self, name, files, self._target, identity, self._layout.root)
        return Split(images, torch.tensor(labels, dtype=torch.int64) if self._classes else None, pages=pages)

    def names(self, split: str) -> Sequence[str]:
        """See `Dataset.names`: paths below the folder."""
        return [Path(image.path).relative_to(self._layout.root).as_posix() for image in self._files(split)[0]]

    def _listed(self, split: str) -> list[tuple[Found, int]]:
        """The files that the split is taken from, each with the index of its class."""
        listed = self._trees[split if self._divided else ""]
        if not self._classes:
            return [(image, 0) for image in listed.loose]
        return [(image, label) for label, name in enumerate(self._classes) for image in listed.classes[name]]

    def _files(self, split: str) -> tuple[list[Found], list[int]]:
        pairs = self._listed(split)
        if not self._divided:
            labels = torch.tensor([label for _, label in pairs], dtype=torch.int64)
            pairs = [pairs[index] for index in divide(len(pairs), self._own, split, labels).tolist()]
        return [image for image, _ in pairs], [label for _, label in pairs]


def _classes_of(listed: Tree) -> tuple[str, ...]:
    names = tuple(listed.classes)
    if names and listed.loose:
        raise UsageError(
            "image-folder: images must lie in class folders or all in one folder, "
            f"got {listed.loose[0].path} beside {names[0]!r}.",
            "Move it into a class folder, or away.",
        )
    return names
