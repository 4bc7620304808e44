"""The commit of the folder that a run is started from, read from git's own files. Imports no torch.

git itself is not called: what a folder's configuration names (a file-system monitor, a filter, a hook) it would run.
For the same reason nothing is said of whether files differ from that commit.
"""

from __future__ import annotations

import re
from pathlib import Path

from genzoo.bounded import MOST_BYTES, read_text
from genzoo.errors import CorruptError

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LINKS = 5
"""References that may lead on to others."""


def commit_of(folder: Path) -> str | None:
    """The hash of the commit that is checked out in a folder or one above it, None where there is none.

    Args:
        folder: Where to begin.
    """
    try:
        repository = next((found for path in (folder, *folder.parents) if (found := _repository(path))), None)
        return None if repository is None else _resolve(repository, "HEAD")
    except (CorruptError, OSError, ValueError):
        return None


def _repository(folder: Path) -> Path | None:
    """The git folder of a working tree, also where a file points to it, as in a linked working tree or a submodule."""
    git = folder / ".git"
    if git.is_file():
        text = read_text(git, most=10_000)
        git = folder / text.removeprefix("gitdir:").strip()
    return git if (git / "HEAD").is_file() else None


def _resolve(repository: Path, name: str) -> str | None:
    shared = repository
    if (repository / "commondir").is_file():
        shared = repository / read_text(repository / "commondir", most=10_000).strip()
    for _ in range(_LINKS):
        text = _loose(repository, shared, name)
        if text is None:
            return _packed(shared, name)
        if _HASH.fullmatch(text):
            return text
        name = text.removeprefix("ref:").strip()
        if name == text or not name.startswith("refs/") or ".." in name:
            return None
    return None


def _loose(repository: Path, shared: Path, name: str) -> str | None:
    found = next((place / name for place in (repository, shared) if (place / name).is_file()), None)
    return None if found is None else read_text(found, most=10_000).strip()


def _packed(shared: Path, name: str) -> str | None:
    file = shared / "packed-refs"
    if not file.is_file():
        return None
    for line in read_text(file, most=4 * MOST_BYTES).splitlines():
        value, _, ref = line.partition(" ")
        if ref == name and _HASH.fullmatch(value):
            return value
    return None
