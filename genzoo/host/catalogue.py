"""The catalogue: ``registry.toml``, the plugins that are known, installed or not. Imports no torch."""

from __future__ import annotations

import sysconfig
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genzoo.errors import CorruptError
from genzoo.types import Kind

_T = TypeVar("_T")

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


class Verified(BaseModel):
    """The result of running the contract kit; written by ``genzoo registry verify`` only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kit: str = Field(description="Version of the contract kit.")
    result: str = Field(description="What the checks said, such as 'passed 31 of 31'.")
    version: str = Field(description="Version of the distribution that was checked.")
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="Day of the run, UTC.")


class Entry(BaseModel):
    """One known plugin component."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(description="Kind of the component.")
    name: str = Field(pattern=NAME, description="Its name.")
    distribution: str = Field(min_length=1, description="Distribution that provides it.")
    source: str = Field(
        min_length=1, description="What pip installs: a distribution's name, or a URL; see genzoo/host/origin.py."
    )
    summary: str = Field(min_length=1, description="One line.")
    paper: str = Field(default="", description="Citation or URL.")
    licence: str = Field(min_length=1, description="SPDX identifier.")
    tier: Literal["official", "community"] = Field(description="Who maintains it.")
    verified: Verified | None = Field(default=None, description="The last result of the contract kit.")

    @property
    def key(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.name}"


class Shipped(BaseModel):
    """One known recipe, reproduction or trained run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["recipe", "reproduction", "run"] = Field(description="What it is.")
    name: str = Field(pattern=NAME, description="Its name.")
    distribution: str = Field(min_length=1, description="Distribution that ships it.")
    source: str = Field(min_length=1, description="As of a plugin.")
    summary: str = Field(default="", description="One line.")
    tier: Literal["official", "community"] = Field(description="Who maintains it.")

    @property
    def key(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.name}"


class Catalogue(BaseModel):
    """The whole of ``registry.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(
        default=1, validation_alias="schema", description="Version of the file's format."
    )
    requires: dict[str, tuple[str, ...]] = Field(
        default_factory=dict[str, tuple[str, ...]],
        description="Distribution → the other distributions of the catalogue that it requires.",
    )
    plugin: tuple[Entry, ...] = Field(default=(), description="The plugins.")
    resource: tuple[Shipped, ...] = Field(default=(), description="Recipes, reproductions and trained runs.")


def path() -> Path:
    """Where ``registry.toml`` is: in the package when installed from a wheel, at the repository's root otherwise."""
    package = Path(__file__).parent.parent
    shipped = package / "registry.toml"
    return shipped if shipped.exists() else package.parent / "registry.toml"


def read(file: Path) -> Catalogue:
    """Reads and checks a catalogue.

    Raises:
        CorruptError: If the file is missing, is no TOML, or breaks the format.
    """
    try:
        return Catalogue.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CorruptError(
            f"Reading the catalogue: {file} must be a TOML file: {error}.", "Install genzoo again."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptError(
            f"Reading the catalogue: {where} in {file}: {first['msg']}, got {first['input']!r}.",
            "Install genzoo again.",
        ) from None


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue that ships with this genzoo."""
    return read(path())


def is_shipped(file: Path) -> bool:
    """Whether a file is part of an installation, which no command of genzoo changes, and not of a checkout."""
    inside = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    inside.add(Path(__file__).resolve().parent.parent)
    return not inside.isdisjoint(file.resolve().parents)


def lookup(kind: str | None, name: str) -> Entry | None:
    """The plugin of a name, written ``NAME`` or ``dist:NAME``; of any kind when ``kind`` is None."""
    return _first(entry for entry in catalogue().plugin if _means(entry, kind, name))


def shipped(kind: str, name: str) -> Shipped | None:
    """The recipe, reproduction or run of a name, written ``NAME`` or ``dist:NAME``."""
    return _first(entry for entry in catalogue().resource if _means(entry, kind, name))


def sources(parts: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What has to be installed so that all of these (kind, name) are there; what the catalogue does not know is left out."""
    entries = [lookup(kind, name) for kind, name in parts]
    return tuple(dict.fromkeys(entry.source for entry in entries if entry))


def names(kind: str | None = None) -> list[str]:
    """The sorted names that the catalogue knows, of one kind, or of all plugins."""
    listed = catalogue()
    found = {entry.name for entry in listed.plugin if kind in {None, entry.kind}}
    return sorted(found | {entry.name for entry in listed.resource if entry.kind == kind})


def official() -> frozenset[str]:
    """The distributions of plugins that are maintained with the core."""
    return frozenset(entry.distribution for entry in catalogue().plugin if entry.tier == "official") | {
        entry.distribution for entry in catalogue().resource if entry.tier == "official"
    }


def requires(distribution: str) -> tuple[str, ...]:
    """The other distributions of the catalogue that one requires."""
    return catalogue().requires.get(distribution, ())


def source_of(distribution: str) -> str | None:
    """The source that the catalogue states for a distribution."""
    listed = catalogue()
    return _first(entry.source for entry in (*listed.plugin, *listed.resource) if entry.distribution == distribution)


def _means(entry: Entry | Shipped, kind: str | None, name: str) -> bool:
    owner, _, bare = name.rpartition(":")
    return entry.name == bare and kind in {None, entry.kind} and owner in {"", entry.distribution}


def _first(found: Iterable[_T]) -> _T | None:
    return next(iter(found), None)
