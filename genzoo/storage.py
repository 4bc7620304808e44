"""The one seam through which genzoo changes files, so that a full or failing disk is one kind of error and a test can
fail the n-th call. Imports no torch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from genzoo.errors import RunExistsError, StorageError, UsageError
from genzoo.text import json_text

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}")

BLOCKED_BY_READERS = os.name == "nt"
"""Whether a file that another process reads can be neither renamed nor removed, as on Windows; it is free soon after."""

PATIENCE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait before each further try of what a reader blocks."""

Probe = Callable[[str, Path], None]
_probes: list[Probe] = []


@contextmanager
def probed(probe: Probe) -> Generator[None]:
    """Call ``probe(operation, path)`` before every file operation in a block; it may raise OSError. For tests."""
    _probes.append(probe)
    try:
        yield
    finally:
        _probes.remove(probe)


@contextmanager
def _operation(name: str, path: Path) -> Generator[None]:
    try:
        for probe in _probes:
            probe(name, path)
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{name}: {str(path)[:40]}… must be shorter, the system does not take it.") from None
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}
        way = "Free space, or choose another folder" if full else "Choose a folder that can be written"
        raise StorageError(
            f"{name}: {path} could not be written: {error.strerror or error}.",
            f"{way}, and try again; `genzoo run --resume RUN` continues a run that had begun.",
        ) from error


def make_folder(path: Path) -> None:
    """Make one new folder; its parents too, if need be.

    Raises:
        RunExistsError: If it exists.
        StorageError: If it cannot be made.
    """
    with _operation("mkdir", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            raise RunExistsError(f"mkdir: {path} exists already.", "Nothing was overwritten.") from None


def make_file(path: Path, data: bytes) -> None:
    """Make one new file.

    Raises:
        RunExistsError: If it exists.
        StorageError: If it cannot be made.
    """
    with _operation("write", path):
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            raise RunExistsError(f"write: {path} exists already.", "Nothing was overwritten.") from None


def write_new(path: Path, data: bytes) -> None:
    """Write a file in a folder that nobody reads yet, and sync it to disk."""
    with _operation("write", path), path.open("wb") as file:
        file.write(data)
        file.flush()
        _sync(file.fileno(), path)


def write_at(path: Path, offset: int, data: bytes | memoryview) -> None:
    """Write a part of a file that nobody relies on yet, made if it is not there, and sync it to disk.

    Args:
        path: The file.
        offset: Where the part begins, in bytes.
        data: The part.
    """
    with _operation("write", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            _sync(file.fileno(), path)


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never part of it."""
    replace_with(path, lambda file: file.write(data))


def replace_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """`replace` with what ``write`` writes into the file that it is given."""
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _operation("write", staged), staged.open("wb") as file:
            write(file)
            file.flush()
            _sync(file.fileno(), staged)
        rename(staged, path)
    except BaseException:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """`replace` with indented JSON."""
    replace(path, (json_text(json.dumps(value, indent=2, ensure_ascii=False)) + "\n").encode())


def remove_leftovers(folder: Path) -> None:
    """Remove the files beside their place that a `replace` left in a folder when its process was killed."""
    for path in folder.glob(".*"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            with _operation("remove", path):
                retried(lambda path=path: path.unlink(missing_ok=True))


def append_line(path: Path, line: str) -> None:
    """Append one line and sync it."""
    with _operation("append", path), path.open("ab") as file:
        file.write(line.encode() + b"\n")
        file.flush()
        _sync(file.fileno(), path)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder and sync the folder that holds it."""
    with _operation("rename", target):
        retried(lambda: source.rename(target) if source.is_dir() else source.replace(target))
    sync_folder(target.parent)


def retried(action: Callable[[], object]) -> None:
    """Call what renames or removes, and again where a reader blocks it, which lasts a moment; on other systems once.

    Raises:
        OSError: What the last try raised.
    """
    for wait in PATIENCE if BLOCKED_BY_READERS else ():
        try:
            action()
        except PermissionError:
            time.sleep(wait)
        else:
            return
    action()


def sync_folder(path: Path) -> None:
    """Make the entries of a folder durable, where the system can."""
    if os.name != "posix":
        return
    with _operation("fsync", path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_folder(path: Path) -> None:
    """Remove a folder and what it holds; one that is gone already is no error."""
    with _operation("remove", path):
        if path.exists():
            retried(lambda: shutil.rmtree(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(handle: int, path: Path) -> None:
    with _operation("fsync", path):
        os.fsync(handle)
