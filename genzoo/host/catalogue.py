"""The catalogue: ``registry.toml``, the plugins that are known, installed or not. Imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genzoo.errors import CorruptError
from genzoo.types import Kind


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
    name: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", description="Its name.")
    distribution: str = Field(min_length=1, description="Distribution that provides it.")
    source: str = Field(min_length=1, description="What pip installs: a distribution name, a URL, or a VCS URL.")
    summary: str = Field(min_length=1, description="One line.")
    paper: str = Field(default="", description="Citation or URL.")
    licence: str = Field(min_length=1, description="SPDX identifier.")
    tier: Literal["official", "community"] = Field(description="Who maintains it.")
    verified: Verified | None = Field(default=None, description="The last result of the contract kit.")

    @property
    def key(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.name}"

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {self.source}"


class Catalogue(BaseModel):
    """The whole of ``registry.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(
        default=1, validation_alias="schema", description="Version of the file's format."
    )
    plugin: tuple[Entry, ...] = Field(default=(), description="The entries.")


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
            f"Reading the catalogue: {file} must be a TOML file: {error}.", "Reinstall genzoo."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptError(
            f"Reading the catalogue: {where} in {file}: {first['msg']}, got {first['input']!r}.", "Reinstall genzoo."
        ) from None


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue that ships with this genzoo."""
    return read(path())


def lookup(kind: str | None, name: str) -> Entry | None:
    """The entry for a name, written ``NAME`` or ``dist:NAME``; of any kind when ``kind`` is None."""
    owner, _, bare = name.rpartition(":")
    for entry in catalogue().plugin:
        if entry.name == bare and kind in {None, entry.kind} and owner in {"", entry.distribution}:
            return entry
    return None


def sources(parts: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What pip installs so that all of these (kind, name) are there; what the catalogue does not know is left out."""
    entries = [lookup(kind, name) for kind, name in parts]
    return tuple(dict.fromkeys(entry.source for entry in entries if entry))


def names(kind: str | None = None) -> list[str]:
    """The sorted names that the catalogue knows, of one kind or all."""
    return sorted({entry.name for entry in catalogue().plugin if kind in {None, entry.kind}})
