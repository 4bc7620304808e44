"""Listing the image files of a folder, with the sizes and times that tell whether they are the same as before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genzoo.errors import UsageError
from genzoo_datasets.decode import EXTENSIONS
from genzoo_datasets.passed import Passed

_ENDINGS = tuple(EXTENSIONS)
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that a file manager leaves everywhere; nobody misses them."""

_TEXTS = frozenset({".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".yaml", ".yml", ".toml", ".html", ".pdf", ".py"})
"""Endings of what lies beside images and never was one."""


@dataclass(frozen=True, slots=True)
class Found:
    """An image file with its size in bytes, its time of change in nanoseconds, and its device and number there."""

    path: str
    size: int
    changed: int
    file: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Tree:
    """The images of a folder, in the order of their names.

    Args:
        loose: Those in the folder itself.
        classes: Those in each folder in it, at any depth; folders without images are left out.
    """

    loose: list[Found]
    classes: dict[str, list[Found]] = field(default_factory=dict[str, list[Found]])


def hidden(name: str, *, folder: bool) -> bool:
    """Whether a file or folder of that name is passed over: ``.git``, ``.ipynb_checkpoints``, ``__MACOSX``."""
    return name.startswith((".", "__") if folder else ".")


def tree(folder: Path, passed: Passed) -> Tree:
    """List a folder; what is passed over, and links that are followed, are noted in ``passed``.

    Raises:
        UsageError: If a folder cannot be read, or one that held images, to look at it, has none that are read.
    """
    loose = images_in(folder, passed)
    classes: dict[str, list[Found]] = {}
    for path in subfolders(folder, passed):
        own = Passed()
        images = images_in(path, own, deep=True)
        if images:
            classes[path.name] = images
        elif set(own.endings) - _TEXTS or own.counts.total() > own.endings.total():
            raise UsageError(
                f"image-folder: the folder {path} must hold images that are read, got none. {own.told(str(folder))}",
                "Convert them to .png, or move the folder away if it is no class.",
            )
        else:
            passed.add("folders without images", str(path))
        passed.merge(own)
    return Tree(loose, classes)


def subfolders(folder: Path, passed: Passed | None = None) -> list[Path]:
    """The folders in a folder that are not hidden, in the order of their names; the hidden ones are noted."""
    found = sorted(path for path in _read(folder) if path.is_dir())
    for path in found if passed else ():
        assert passed is not None
        if hidden(path.name, folder=True):
            passed.add("hidden folders", str(path))
        elif path.is_symlink():
            passed.links.append(str(path))
    return [path for path in found if not hidden(path.name, folder=True)]


def images_in(folder: Path, passed: Passed, *, deep: bool = False) -> list[Found]:
    """The images in a folder, and below it where asked, in the order of their names."""
    # A link in a folder that leads to it, or above it, would never end.
    within = (os.path.realpath(folder),) if deep else None
    # Folder by folder: a separator sorts before any character of a name.
    return sorted(_walk(str(folder), passed, within), key=lambda found: found.path.replace(os.sep, "\0"))


def has_images(folder: Path) -> bool:
    """Whether there is an image in the folder itself."""
    return any(True for _ in _walk(str(folder), Passed(), None))


def digest(images: Iterable[Found]) -> str:
    """A hash of which files these are: their paths, sizes and times."""
    told = hashlib.sha256()
    for image in images:
        told.update(f"{image.path}\0{image.size}\0{image.changed}\n".encode("utf-8", "surrogateescape"))
    return told.hexdigest()


def _read(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path | str, error: OSError) -> UsageError:
    return UsageError(f"image-folder: {folder} must be a folder that can be read, got {error}.", "Change its mode.")


def _walk(folder: str, passed: Passed, within: tuple[str, ...] | None) -> Iterator[Found]:
    """The images in a folder; those below it too where ``within``, the real folders above it, are given."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise _unreadable(folder, error) from error
    for entry in entries:
        if entry.name in _DROPPINGS:
            continue
        if entry.is_dir():
            if within is not None:
                yield from _below(entry, passed, within)
        elif hidden(entry.name, folder=False):
            passed.add("hidden files", entry.path)
        elif not entry.is_file():
            passed.add("links that lead nowhere" if entry.is_symlink() else "files of a device", entry.path)
        elif not entry.name.lower().endswith(_ENDINGS):
            passed.unread(entry.path)
        else:
            if entry.is_symlink():
                passed.links.append(entry.path)
            found = entry.stat()
            yield Found(entry.path, found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))


def _below(entry: os.DirEntry[str], passed: Passed, within: tuple[str, ...]) -> Iterator[Found]:
    if hidden(entry.name, folder=True):
        passed.add("hidden folders", entry.path)
    elif not entry.is_symlink():
        yield from _walk(entry.path, passed, within)
    else:
        real = os.path.realpath(entry.path)
        if any(above == real or above.startswith(real.rstrip(os.sep) + os.sep) for above in within):
            passed.add("links to a folder above them", entry.path)
            return
        passed.links.append(entry.path)
        yield from _walk(entry.path, passed, (*within, real))


def each_once(trees: dict[str, Tree], passed: Passed) -> dict[str, Tree]:
    """The trees with each file once, whichever links lead to it; what comes again is noted in ``passed``.

    Args:
        trees: By split.
        passed: What is passed over.

    Raises:
        UsageError: If one file lies in two classes or two splits.
    """
    seen: dict[tuple[int, int], tuple[tuple[str, str], str]] = {}

    def once(images: list[Found], place: tuple[str, str]) -> list[Found]:
        kept: list[Found] = []
        for image in images:
            # Without a number, as on some systems, files cannot be told apart.
            before, path = (
                (place, image.path) if not image.file[1] else seen.setdefault(image.file, (place, image.path))
            )
            if before != place:
                raise UsageError(
                    f"image-folder: an image must be in one class and one split, got {path} and {image.path}, "
                    "which are one file.",
                    "Remove one of the links.",
                )
            if path == image.path:
                kept.append(image)
            else:
                passed.add("links to an image that is there already", image.path)
        return kept

    return {
        split: Tree(
            once(found.loose, (split, "")),
            {name: once(images, (split, name)) for name, images in found.classes.items()},
        )
        for split, found in trees.items()
    }
