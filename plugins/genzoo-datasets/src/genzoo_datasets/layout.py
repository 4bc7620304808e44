"""How a folder is laid out: where its splits and classes are, or a refusal that says what to write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genzoo.errors import UsageError
from genzoo_datasets.listing import Tree, has_images, images_in, subfolders, tree
from genzoo_datasets.passed import Passed

NAMES = {
    "train": frozenset({"train", "training"}),
    "test": frozenset({"test", "testing"}),
    "validation": frozenset({"val", "valid", "validation"}),
}
"""Names of folders that are splits, in small letters or not."""

_ONE_LAYOUT = "Lay it out as train/CLASS/IMAGE and test/CLASS/IMAGE, or as CLASS/IMAGE, and set root to that folder."


@dataclass(frozen=True)
class Layout:
    """Where the images of a folder are.

    Args:
        root: The folder that holds splits or classes, perhaps below the one that was given.
        splits: ``train`` and ``test`` with their folders; all under no name where a seed divides the images.
        unused: Folders beside the splits that are not used.
        above: The folders that each held one folder, which is read in their place.
        notes: How it was understood, where that is not plain.
    """

    root: Path
    splits: dict[str, Path]
    unused: tuple[Path, ...] = ()
    above: tuple[Path, ...] = ()
    notes: list[str] = field(default_factory=list[str])

    def trees(self, passed: Passed) -> dict[str, Tree]:
        """The images by split; whatever is not used is noted in ``passed``."""
        for folder in self.above:
            images_in(folder, passed)
            subfolders(folder, passed)
        found = {name: tree(folder, passed) for name, folder in self.splits.items()}
        if "" in found:
            return found
        for folder in self.unused:
            if images := images_in(folder, Passed(), deep=True):
                passed.add("images beside train and test", images[0].path, len(images))
        subfolders(self.root, passed)
        if images := images_in(self.root, passed):
            passed.add("images beside train and test", images[0].path, len(images))
        return found


def layout(given: Path, *, archive: bool) -> Layout:
    """How a folder is laid out.

    A folder that holds one folder and nothing else stands for that folder, where it holds folders in turn; of an archive
    it always does. ``train`` and ``test`` may be called ``Training``, ``testing`` and so on. A validation set
    is the test set where there is no other one, and not used where there is.

    Args:
        given: The folder, or the one that an archive was unpacked into.
        archive: Whether it is of an archive.

    Raises:
        UsageError: If it cannot be told what is a split and what a class.
    """
    root, notes, above = given, list[str](), list[Path]()
    while len(inside := subfolders(root)) == 1 and not has_images(root):
        (only,) = inside
        role = _role(only.name)
        deeper = bool(subfolders(only)) and not has_images(only)
        if role in ("test", "validation"):
            raise _one_alone(root, only.name, "train")
        if not (deeper or role or (archive and root == given)):
            break
        above.append(root)
        root = only
        notes.append(f"The one folder {only.relative_to(given)} is read as the whole.")
    named = _roles(root, inside)
    if not named:
        _refuse_unclear(root, inside)
        return Layout(root, {"": root}, above=tuple(above), notes=notes)
    if "train" not in named:
        raise _one_alone(root, next(iter(named.values())).name, "train")
    test = named.get("test") or named.get("validation")
    if test is None:
        raise _one_alone(root, named["train"].name, "test")
    if "test" not in named:
        notes.append(f"{test.name} serves as the test set, since there is no other one.")
    splits = {name: _unwrapped(folder, notes, given) for name, folder in (("train", named["train"]), ("test", test))}
    used = {named["train"], test}
    for folder in splits.values():
        _refuse_unclear(folder, subfolders(folder))
    unused = tuple(folder for folder in inside if folder not in used)
    return Layout(root, splits, unused, tuple(above), notes)


def _role(name: str) -> str | None:
    return next((role for role, names in NAMES.items() if name.lower() in names), None)


def _roles(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """The folders that are splits by their names, by role."""
    found: dict[str, Path] = {}
    for folder in folders:
        role = _role(folder.name)
        if role in found:
            raise UsageError(
                f"image-folder: {root} must hold one {role} set, got {found[role].name} and {folder.name}.",
                "Rename or merge them.",
            )
        if role:
            found[role] = folder
    return found


def _one_alone(root: Path, got: str, absent: str) -> UsageError:
    return UsageError(
        f"image-folder: {root} must hold both train and test or neither, got no {absent} beside {got}.",
        f"Add {absent}, or rename {got} if it is a class.",
    )


def _refuse_unclear(root: Path, classes: Sequence[Path]) -> None:
    """Refuse folders that would be read as classes and look like splits, or hold some."""
    parts = {folder.name: set(re.split(r"[^a-z]+", folder.name.lower())) for folder in classes}
    alike = {role: [name for name, words in parts.items() if words & names] for role, names in NAMES.items()}
    if alike["train"] and (alike["test"] or alike["validation"]):
        other = [*alike["test"], *alike["validation"]][0]
        raise UsageError(
            f"image-folder: the folders of {root} must be classes, or train and test, "
            f"got {alike['train'][0]} and {other}, which may be either.",
            f"Rename them to train and test if they are splits. {_ONE_LAYOUT}",
        )
    for folder in classes:
        inner = {role: path.name for path in subfolders(folder) if (role := _role(path.name))}
        if "train" in inner and len(inner) > 1:
            raise UsageError(
                f"image-folder: a class folder must hold no splits, got {' and '.join(inner.values())} in {folder}.",
                f"Set root to {folder} if they are the splits. {_ONE_LAYOUT}",
            )


def _unwrapped(folder: Path, notes: list[str], given: Path) -> Path:
    """The one folder in a split's folder, if it plainly is no class: it holds two folders or more."""
    inside = subfolders(folder)
    if len(inside) != 1 or has_images(folder) or has_images(inside[0]) or len(subfolders(inside[0])) < 2:
        return folder
    notes.append(f"The one folder {inside[0].relative_to(given)} is read as the whole.")
    return _unwrapped(inside[0], notes, given)
