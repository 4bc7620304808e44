"""Where distributions come from: the one rule behind every line that tells a user what to install. Imports no torch.

The core and the official plugins come from the package index once their names are registered there (`PUBLISHED`). Until
then a name on the index may be somebody else's, so that a line names the checkout that this genzoo runs from, or else the
repository. Any other distribution comes from where it was installed from, or from what the catalogue states.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from genzoo import __version__
from genzoo.errors import GenzooError

REPOSITORY = "https://github.com/genzoo/genzoo"
PUBLISHED = False
"""Whether the names of the official distributions are registered with the package index; docs/releasing.md says when."""

_CORE = "genzoo"
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)(\[[^\]]*\])?([<>=!~].*)?")


def checkout() -> Path | None:
    """The checkout of the repository that this genzoo is imported from; None where it was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "registry.toml").is_file() and (root / "plugins").is_dir() else None


def arguments(sources: Iterable[str]) -> tuple[str, ...]:
    """What is written after ``pip install``, quoted for a shell, so that all of these are there.

    Args:
        sources: Names of distributions, with extras or bounds, or what the catalogue states as a source.
    """
    found: dict[str, None] = {}
    for source in sources:
        named = _NAMED.fullmatch(source)
        if named is None or not is_official(named[1]) or PUBLISHED:
            found[_quoted(source)] = None
        else:
            name, extras = named[1], named[2] or ""
            found[_unpublished(name, extras)] = None
            found.update(dict.fromkeys(_unpublished(other) for other in _absent(name)))
    return tuple(found)


def install(*sources: str) -> str:
    """The line that installs all of these, each with the official distributions that it requires and that are not there."""
    return f"pip install {' '.join(arguments(sources))}"


def upgrade(*names: str) -> str:
    """The line that brings installed distributions to a version that fits this genzoo, or the newest."""
    sources = [_source(name) for name in names]
    if not PUBLISHED and checkout() is None and any(is_official(name) for name in names):
        sources.insert(0, _CORE)  # The repository's plugins fit the repository's core.
    return f"pip install --upgrade {' '.join(arguments(sources))}"


def reinstall(name: str) -> str:
    """The line that installs one distribution again, and nothing that it requires."""
    return f"pip install --force-reinstall --no-deps {arguments([_source(name)])[0]}"


def everything(*, newer: bool = False) -> str:
    """The line that installs the core and all official plugins.

    Args:
        newer: Whether the core is there and must become newer.
    """
    root = checkout()
    if PUBLISHED:
        return f"pip install {'--upgrade ' if newer else ''}{_quoted(f'{_CORE}[zoo]')}"
    if root is None:
        return f"git clone {REPOSITORY} && cd genzoo && pip install -r requirements.txt"
    return f"cd {_quoted(str(root))} && {'git pull && ' if newer else ''}pip install -r requirements.txt"


def is_official(name: str) -> bool:
    """Whether a distribution is the core, or the catalogue says that it is an official plugin."""
    from genzoo.host import catalogue

    try:
        return _normal(name) in {_CORE, *catalogue.official()}
    except GenzooError:  # A catalogue that cannot be read is told where it is asked for.
        return _normal(name) == _CORE


def _unpublished(name: str, extras: str = "") -> str:
    """An official distribution as pip takes it from the checkout or the repository."""
    name = _normal(name)
    root = checkout()
    folder = "" if name == _CORE else f"plugins/{name}"
    if root is not None:
        return f"-e {_quoted(f'{root / folder}{extras}')}"
    part = f"#subdirectory={folder}" if folder else ""
    return _quoted(f"{name}{extras} @ git+{REPOSITORY}{part}")


def _absent(name: str) -> list[str]:
    """The official distributions that one requires, to the end, as far as they are not installed at this version."""
    from genzoo.host import catalogue

    if name == _CORE:
        return []
    queue = list(catalogue.requires(name))
    for required in queue:  # which grows meanwhile
        queue += [other for other in catalogue.requires(required) if other not in queue]
    return [required for required in queue if _installed(required) != __version__]


def _installed(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _source(name: str) -> str:
    """Where an installed distribution can be had again: from where pip got it, or by what the catalogue states."""
    from genzoo.host import catalogue

    if is_official(name):
        return name
    try:
        stated = json.loads(distribution(name).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        stated = {}
    with suppress(GenzooError):
        return _direct(name, stated) or catalogue.source_of(name) or name
    return name


def _direct(name: str, stated: object) -> str:
    """A direct_url.json (PEP 610) as a requirement; empty where there is none or it is not understood."""
    match stated:
        case {"url": str(url), "vcs_info": {"vcs": str(vcs), **info}, **rest}:
            revision = f"@{info['requested_revision']}" if info.get("requested_revision") else ""
            part = f"#subdirectory={rest['subdirectory']}" if rest.get("subdirectory") else ""
            return f"{name} @ {vcs}+{url}{revision}{part}"
        case {"url": str(url)}:
            return f"{name} @ {url}"
        case _:
            return ""


def _quoted(text: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./\\-]+", text) and (os.name == "nt" or "\\" not in text):
        return text
    return shlex.quote(text) if os.name != "nt" and re.search(r'["$`\\!]', text) else f'"{text}"'


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
