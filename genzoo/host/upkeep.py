"""Keeping the catalogue true: compare it with the installed declarations, mend it, write it. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import tomli_w

from genzoo import storage
from genzoo.host.catalogue import Catalogue, Entry, Verified, read
from genzoo.host.installed import Installed
from genzoo.types import Kind

HEADER = """\
# The catalogue of known genzoo plugins, installed or not.
# `genzoo registry check` holds it against the installed plugins, both ways; with --write it mends it.
# The `verified` tables are written by `genzoo registry verify` alone.

"""
UNKNOWN_LICENCE = "LicenseRef-unknown"


@dataclass(frozen=True)
class Comparison:
    """How a catalogue and the installed declarations differ.

    Args:
        drift: One sentence a difference.
        unchecked: Entries whose distribution is not installed, as ``kind/name (distribution)``.
        agreeing: Number of entries that agree with their declaration.
    """

    drift: tuple[str, ...]
    unchecked: tuple[str, ...]
    agreeing: int


def compare(listed: Catalogue, components: Iterable[Installed]) -> Comparison:
    """Holds the catalogue against the declarations, in both directions.

    Args:
        listed: The catalogue.
        components: The installed components.
    """
    declared = {(item.kind, item.name, item.distribution): item for item in components}
    installed = {item.distribution for item in declared.values()}
    drift: list[str] = []
    unchecked: list[str] = []
    agreeing = 0
    entries: dict[tuple[str, str, str], Entry] = {}
    for entry in listed.plugin:
        key = (entry.kind, entry.name, entry.distribution)
        if key in entries:
            drift.append(f"{entry.key} of {entry.distribution} is listed twice.")
            continue
        entries[key] = entry
        item = declared.get(key)
        if item is None and entry.distribution in installed:
            drift.append(f"{entry.key} is listed, but {entry.distribution} does not declare it.")
        elif item is None:
            unchecked.append(f"{entry.key} ({entry.distribution})")
        else:
            found = [
                f"{entry.key}: {field} is {ours!r} in the catalogue and {theirs!r} in the declaration."
                for field, ours, theirs in (
                    ("summary", entry.summary, _summary(item)),
                    ("paper", entry.paper, item.component.paper),
                )
                if ours != theirs
            ]
            drift += found
            agreeing += not found
    for key, item in declared.items():
        if key not in entries:
            drift.append(f"{item.kind}/{item.name} is installed from {item.distribution} and not listed.")
    return Comparison(tuple(drift), tuple(unchecked), agreeing)


def mend(listed: Catalogue, components: Iterable[Installed], file: Path, troubled: Collection[str] = ()) -> Catalogue:
    """The catalogue with its entries made after the declarations; what only a person or the kit knows is kept.

    Args:
        listed: The catalogue.
        components: The installed components.
        file: Where the catalogue is; a distribution in ``plugins/`` beside it is official.
        troubled: Distributions that did not load whole, whose entries are kept.
    """
    declared = {(item.kind, item.name, item.distribution): item for item in components}
    installed = {item.distribution for item in declared.values()} - set(troubled)
    entries: dict[tuple[str, str, str], Entry] = {
        (entry.kind, entry.name, entry.distribution): entry
        for entry in listed.plugin
        if entry.distribution not in installed
    }
    known = {(entry.kind, entry.name, entry.distribution): entry for entry in listed.plugin}
    for key, item in declared.items():
        old = known.get(key)
        summary, paper = _summary(item), item.component.paper
        if old is not None:
            entries[key] = old.model_copy(update={"summary": summary, "paper": paper})
            continue
        official = (file.parent / "plugins" / item.distribution).is_dir()
        entries[key] = Entry(
            kind=item.kind,
            name=item.name,
            distribution=item.distribution,
            source=item.distribution,
            summary=summary,
            paper=paper,
            licence=licence_of(item.distribution),
            tier="official" if official else "community",
        )
    return Catalogue(plugin=tuple(entries[key] for key in sorted(entries)))


def record(file: Path, results: Mapping[tuple[Kind, str, str], Verified]) -> None:
    """Writes results of the contract kit into a catalogue.

    Args:
        file: The catalogue.
        results: (kind, name, distribution) → what the kit said.

    Raises:
        StorageError: If it cannot be written.
    """
    plugin = tuple(
        entry.model_copy(update={"verified": results[key]})
        if (key := (entry.kind, entry.name, entry.distribution)) in results
        else entry
        for entry in read(file).plugin
    )
    write_catalogue(file, Catalogue(plugin=plugin))


def write_catalogue(file: Path, listed: Catalogue) -> None:
    """Writes a catalogue; a reader sees the old file or the new.

    Raises:
        StorageError: If it cannot be written.
    """
    rows = [entry.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for entry in listed.plugin]
    storage.replace(file, (HEADER + tomli_w.dumps({"schema": 1, "plugin": rows})).encode())


def licence_of(name: str) -> str:
    """The licence that a distribution's metadata states."""
    try:
        stated = distribution(name).metadata.json
    except PackageNotFoundError:
        return UNKNOWN_LICENCE
    return str(stated.get("license_expression") or stated.get("license") or UNKNOWN_LICENCE)


def _summary(item: Installed) -> str:
    return item.component.summary or f"The {item.kind} {item.name}"
