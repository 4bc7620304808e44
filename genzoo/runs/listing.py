"""What `genzoo runs list` says of each run, kept in a file that may be thrown away. Imports no torch.

The file lies in the cache folder. A run that has ended is read again only when one of its files changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from genzoo import storage
from genzoo.bounded import Shape, read_text
from genzoo.errors import GenzooError
from genzoo.parts.cache import cache_folder
from genzoo.runs.compared import apart
from genzoo.runs.folder import RunFolder, lacks_recipe, without_recipe
from genzoo.runs.identity import flat
from genzoo.runs.reports import names_shown, reports_of
from genzoo.toml import read_toml

FILES = ("run.json", "config.toml", "metrics.jsonl")
"""What a line of the list is made of."""

WORTH_KEEPING = 100
"""Fewer runs are read sooner than they are noticed."""

_MOST_BYTES = 1 << 28
_GOES_ON = {"running", "damaged", "unknown"}


class _Kept(Shape):
    """A run as it was read: its line, and its recipe's differences from that of another run of the same title."""

    stamp: list[list[int]]
    line: dict[str, Any]
    differs: dict[str, Any]


class _Index(Shape):
    format: Literal[1]
    recipes: dict[str, dict[str, Any]]
    runs: dict[str, _Kept]


def listed(root: Path, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """A line per run below a folder, oldest first: ``name``, ``path``, ``title``, ``status``, ``epoch``, ``numbers``,
    ``reports`` and ``differs``.

    Args:
        root: The folder of runs.
        warn: Told of a run that cannot be read; one damaged run hides no other.
    """
    place = _place(root)
    index = _read(place)
    recipes, known, kept, fresh = index.recipes, index.runs, dict[str, _Kept](), False
    lines: list[dict[str, Any]] = []
    differences: list[Mapping[str, Any] | None] = []
    for name, group, stamp in sorted(_folders(root), key=lambda found: found[0]):
        key, path = f"{group}/{name}", f"{root}{os.sep}{group}{os.sep}{name}"
        entry = known.get(key)
        folder = RunFolder(Path(path))
        if entry is None or entry.stamp != stamp or (entry.line["status"] == "stopped" and folder.is_held):
            line, recipe = summary(folder, warn), _recipe(folder)
            base = recipes.setdefault(line["title"], recipe or {})
            entry = _Kept.model_construct(stamp=stamp or [], line=line, differs=_differences(recipe or {}, base))
            differences.append(None if recipe is None else entry.differs)
            fresh = True
        else:
            differences.append(entry.differs)
        if stamp is not None and entry.line["status"] not in _GOES_ON:
            kept[key] = entry
        lines.append({**entry.line, "path": path})
    for line, text in zip(lines, apart(differences, [line["title"] for line in lines], recipes), strict=True):
        line["differs"] = text
    if len(kept) >= WORTH_KEEPING and (fresh or len(kept) != len(known)):
        _write(place, recipes, kept)
    return lines


def summary(folder: RunFolder, warn: Callable[[str], None] | None = None) -> dict[str, Any]:
    """A run's line without ``differs``.

    Args:
        folder: The run.
        warn: Told what is damaged about it.

    Raises:
        GenzooError: If it cannot be read and ``warn`` is None.
    """
    record: dict[str, Any] = {"status": "damaged"}
    rows: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    try:
        rows, last = folder.rows("epoch"), folder.last_row()
        if lacks_recipe(folder.path):
            raise without_recipe(folder.path)
        record = folder.record()
    except GenzooError as error:
        if warn is None:
            raise
        warn(f"{folder.path.name}: {error.message}")
    tested = last if last and "test" in last else next((row for row in reversed(rows) if "test" in row), last)
    return {
        "name": folder.path.name,
        "path": str(folder.path),
        "title": record.get("title", ""),
        "status": status(folder, record),
        "epoch": last["epoch"] if last else None,
        "numbers": (tested.get("test") or tested["train"]) if tested else None,
        "reports": names_shown(reports_of(record)),
    }


def status(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """The recorded status; ``stopped`` where a run says that it is running and no process holds it."""
    found = str(record.get("status", "unknown"))
    return "stopped" if found == "running" and not folder.is_held else found


def _folders(root: Path) -> Iterator[tuple[str, str, list[list[int]] | None]]:
    """Name and group of every run's folder, and what tells whether its files are as they were; None where one of them
    is not there."""
    for group in _inside(str(root)):
        for name in _inside(f"{root}{os.sep}{group}"):
            folder = f"{root}{os.sep}{group}{os.sep}{name}{os.sep}"
            record, recipe, rows = (_stamp(folder + name) for name in FILES)
            if record and (recipe or lacks_recipe(Path(folder))):
                yield name, group, [record, recipe, rows] if recipe and rows else None


def _inside(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if entry.is_dir()]
    except OSError:
        return []


def _stamp(path: str) -> list[int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (thousands of paths)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _recipe(folder: RunFolder) -> dict[str, Any] | None:
    with suppress(GenzooError, OSError):
        return {key: _plain(value) for key, value in flat(read_toml(folder.config_file, "run")[0]).items()}
    return None


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))


def _differences(recipe: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Option → its value where that is not the base's; None where it is not there."""
    keys = recipe.keys() | base.keys()
    return {key: recipe.get(key) for key in sorted(keys) if str(recipe.get(key)) != str(base.get(key))}


def _place(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return cache_folder() / "runs" / f"{name}.json"


def _read(place: Path) -> _Index:
    with suppress(GenzooError, OSError, ValueError, ValidationError, RecursionError, MemoryError):
        return _Index.model_validate_json(read_text(place, _MOST_BYTES))
    return _Index(format=1, recipes={}, runs={})


def _write(place: Path, recipes: Mapping[str, Any], kept: Mapping[str, _Kept]) -> None:
    used = {entry.line["title"] for entry in kept.values()}
    content = {
        "format": 1,
        "recipes": {title: recipe for title, recipe in recipes.items() if title in used},
        "runs": {key: {"stamp": one.stamp, "line": one.line, "differs": one.differs} for key, one in kept.items()},
    }
    with suppress(GenzooError, OSError, ValueError):  # What cannot be kept is read again the next time.
        place.parent.mkdir(parents=True, exist_ok=True)
        storage.replace(place, json.dumps(content, separators=(",", ":")).encode())
