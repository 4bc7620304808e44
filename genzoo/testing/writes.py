"""Which files a component writes, wherever it writes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_recording: list[set[Path]] = []
_state = {"hooked": False}


@contextmanager
def files_written(written: list[Path]) -> Generator[None]:
    """Adds to ``written`` the files opened for writing meanwhile that are there at the end, caches of libraries aside.

    Args:
        written: Filled when the block ends, sorted.
    """
    if not _state["hooked"]:  # an audit hook cannot be taken away; this one does nothing while nobody records
        sys.addaudithook(_hear)
        _state["hooked"] = True
    opened: set[Path] = set()
    _recording.append(opened)
    try:
        yield
    finally:
        _recording.remove(opened)
        written += sorted(path for path in opened if path.is_file() and not _is_cache(path))


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _recording:
        return
    path, mode, flags = arguments
    writes = set(mode) & set("wxa+") if isinstance(mode, str) else flags & (os.O_WRONLY | os.O_RDWR)
    if writes and isinstance(path, (str, bytes, os.PathLike)):
        for opened in _recording:
            opened.add(Path(os.fsdecode(path)).absolute())


def _is_cache(path: Path) -> bool:
    """Whether a file is one that Python or matplotlib keeps for itself."""
    import matplotlib as mpl

    kept = (Path(mpl.get_cachedir()), Path(mpl.get_configdir()), Path.home() / ".cache")
    return "__pycache__" in path.parts or any(path.is_relative_to(folder) for folder in kept)
