"""The folder of a run's checkpoints: which there are, and which of them ``LAST`` and ``BEST`` name."""

from __future__ import annotations

import re
from pathlib import Path

from genzoo import storage
from genzoo.bounded import read_text
from genzoo.errors import CorruptError

LAST = "LAST"
BEST = "BEST"

_STEP = re.compile(r"step-(\d+)")
_REPLACED = re.compile(r"\.replaced-(\d+)-[0-9a-f]+")


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, the one that ``BEST`` names, and leftovers of crashed saves."""
    best = pointer(folder / BEST)
    last = pointer(folder / LAST)
    steps = steps_in(folder)
    for old in steps[: max(0, len(steps) - keep)]:
        if old.name not in {best, last}:
            storage.remove_folder(old)
    for stale in [*folder.glob(".staging-*"), *folder.glob(".replaced-*")]:
        storage.remove_folder(stale)


def steps_in(folder: Path, *, replaced: bool = False) -> list[Path]:
    """Checkpoints by step; with ``replaced``, also those that a crash left between being replaced and removed."""
    found = [(int(match[1]), 1, path) for path in folder.glob("step-*") if (match := _STEP.fullmatch(path.name))]
    if replaced:
        hidden = folder.glob(".replaced-*")
        found += [(int(match[1]), 0, path) for path in hidden if (match := _REPLACED.fullmatch(path.name))]
    return [path for _, _, path in sorted(found)]


def step_of(path: Path) -> int | None:
    match = _STEP.fullmatch(path.name) or _REPLACED.fullmatch(path.name)
    return int(match[1]) if match else None


def pointer(path: Path) -> str | None:
    try:
        return read_text(path, most=200).strip() or None
    except CorruptError:
        return None
