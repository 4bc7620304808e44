"""Listing the image files of a folder, with the sizes and times that tell whether they are the same as before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genzoo_datasets.decode import EXTENSIONS

_ENDINGS = tuple(EXTENSIONS)


@dataclass(frozen=True, slots=True)
class Found:
    """An image file with its size in bytes and its time of change in nanoseconds."""

    path: str
    size: int
    changed: int


@dataclass(frozen=True)
class Tree:
    """The images of a folder, in the order of their names.

    Args:
        loose: Those in the folder itself.
        classes: Those in each folder in it, at any depth; folders without images are left out.
    """

    loose: list[Found]
    classes: dict[str, list[Found]] = field(default_factory=dict[str, list[Found]])


def tree(folder: Path) -> Tree:
    """List a folder; hidden files, and hidden folders in it, are passed over."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    classes = {path.name: images_in(path, deep=True) for path in below}
    return Tree(images_in(folder), {name: images for name, images in classes.items() if images})


def images_in(folder: Path, *, deep: bool = False) -> list[Found]:
    """The images in a folder, and below it where asked."""
    # Folder by folder: a separator sorts before any character of a name.
    return sorted(_found(str(folder), deep), key=lambda found: found.path.replace(os.sep, "\0"))


def digest(images: Iterable[Found]) -> str:
    """A hash of which files these are: their paths, sizes and times."""
    told = hashlib.sha256()
    for image in images:
        told.update(f"{image.path}\0{image.size}\0{image.changed}\n".encode("utf-8", "surrogateescape"))
    return told.hexdigest()


def _found(folder: str, deep: bool) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep:
                    yield from _found(entry.path, deep)
            elif entry.name.lower().endswith(_ENDINGS) and entry.name[0] != "." and entry.is_file():
                found = entry.stat()
                yield Found(entry.path, found.st_size, found.st_mtime_ns)
