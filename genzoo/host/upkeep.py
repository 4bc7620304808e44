"""Keeping the catalogue true: compare it with the installed declarations, mend it, write it. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import tomli_w
from packaging.requirements import Requirement

from genzoo import storage
from genzoo.host.catalogue import Catalogue, Entry, Shipped, Verified, read
from genzoo.host.discovery import normal
from genzoo.host.installed import Installed, InstalledResource
from genzoo.types import Kind

HEADER = """\
# The catalogue of known genzoo plugins, recipes, reproductions and trained runs, installed or not.
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


def compare(listed: Catalogue, declared: Iterable[Installed | InstalledResource]) -> Comparison:
    """Holds the catalogue against the declarations, in both directions.

    Args:
        listed: The catalogue.
        declared: The installed components and resources.
    """
    there = {_key(item): item for item in declared}
    installed = {item.distribution for item in there.values()}
    drift: list[str] = []
    unchecked: list[str] = []
    agreeing = 0
    entries: dict[_Key, Entry | Shipped] = {}
    for entry in (*listed.plugin, *listed.resource):
        if _key(entry) in entries:
            drift.append(f"{entry.key} of {entry.distribution} is listed twice.")
            continue
        entries[_key(entry)] = entry
        item = there.get(_key(entry))
        if item is None and entry.distribution in installed:
            drift.append(f"{entry.key} is listed, but {entry.distribution} does not declare it.")
        elif item is None:
            unchecked.append(f"{entry.key} ({entry.distribution})")
        else:
            found = [
                f"{entry.key}: {field} is {getattr(entry, field)!r} in the catalogue and {stated!r} in the declaration."
                for field, stated in _stated(item).items()
                if getattr(entry, field) != stated
            ]
            drift += found
            agreeing += not found
    for key, item in there.items():
        if key not in entries:
            drift.append(f"{item.kind}/{item.name} is installed from {item.distribution} and not listed.")
    known = {entry.distribution for entry in entries.values()}
    for name in sorted(installed & known):
        stated, required = listed.requires.get(name, ()), requirements(name, known)
        if required is not None and required != stated:
            drift.append(f"{name}: requires is {list(stated)} in the catalogue and {list(required)} in its metadata.")
    return Comparison(tuple(drift), tuple(unchecked), agreeing)


def mend(
    listed: Catalogue,
    declared: Iterable[Installed | InstalledResource],
    file: Path,
    troubled: Collection[str] = (),
) -> Catalogue:
    """The catalogue with its entries made after the declarations; what only a person or the kit knows is kept.

    Args:
        listed: The catalogue.
        declared: The installed components and resources.
        file: Where the catalogue is; a distribution in ``plugins/`` beside it is official.
        troubled: Distributions that did not load whole, whose entries are kept.
    """
    there = {_key(item): item for item in declared}
    installed = {item.distribution for item in there.values()} - set(troubled)
    known = {_key(entry): entry for entry in (*listed.plugin, *listed.resource)}
    entries = {key: entry for key, entry in known.items() if entry.distribution not in installed}
    for key, item in there.items():
        old = known.get(key)
        entries[key] = _new(item, file) if old is None else old.model_copy(update=_stated(item))
    names = {entry.distribution for entry in entries.values()}
    required = {name: requirements(name, names) if name in installed else None for name in sorted(names)}
    return Catalogue(
        requires={
            name: found
            for name, metadata in required.items()
            if (found := listed.requires.get(name, ()) if metadata is None else metadata)
        },
        plugin=tuple(entry for _, entry in sorted(entries.items()) if isinstance(entry, Entry)),
        resource=tuple(entry for _, entry in sorted(entries.items()) if isinstance(entry, Shipped)),
    )


def requirements(name: str, known: Collection[str]) -> tuple[str, ...] | None:
    """Which of the known distributions an installed one requires, sorted; None where it is not installed."""
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return None
    required = [Requirement(line) for line in lines]
    always = {normal(item.name) for item in required if item.marker is None}
    return tuple(sorted(always & set(known)))


_Key = tuple[str, str, str]


def _key(item: Entry | Shipped | Installed | InstalledResource) -> _Key:
    return str(item.kind), item.name, item.distribution


def _stated(item: Installed | InstalledResource) -> dict[str, str]:
    """What an entry repeats of a declaration."""
    if isinstance(item, InstalledResource):
        return {"summary": item.resource.summary}
    return {"summary": item.component.summary or f"The {item.kind} {item.name}", "paper": item.component.paper}


def _new(item: Installed | InstalledResource, file: Path) -> Entry | Shipped:
    fields = {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "source": item.distribution,
        "tier": "official" if (file.parent / "plugins" / item.distribution).is_dir() else "community",
        **_stated(item),
    }
    if isinstance(item, InstalledResource):
        return Shipped.model_validate(fields)
    return Entry.model_validate({**fields, "licence": licence_of(item.distribution)})


def record(file: Path, results: Mapping[tuple[Kind, str, str], Verified]) -> None:
    """Writes results of the contract kit into a catalogue.

    Args:
        file: The catalogue.
        results: (kind, name, distribution) → what the kit said.

    Raises:
        StorageError: If it cannot be written.
    """
    listed = read(file)
    plugin = tuple(
        entry.model_copy(update={"verified": results[key]})
        if (key := (entry.kind, entry.name, entry.distribution)) in results
        else entry
        for entry in listed.plugin
    )
    write_catalogue(file, listed.model_copy(update={"plugin": plugin}))


def write_catalogue(file: Path, listed: Catalogue) -> None:
    """Writes a catalogue; a reader sees the old file or the new.

    Raises:
        StorageError: If it cannot be written.
    """
    content = listed.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    storage.replace(file, (HEADER + tomli_w.dumps({"schema": 1, **content})).encode())


def licence_of(name: str) -> str:
    """The licence that a distribution's metadata states."""
    try:
        stated = distribution(name).metadata.json
    except PackageNotFoundError:
        return UNKNOWN_LICENCE
    return str(stated.get("license_expression") or stated.get("license") or UNKNOWN_LICENCE)
