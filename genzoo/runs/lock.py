"""Holding a run: one process at a time works on it, and the system frees the lock when that process ends, however it
ends. Imports no torch.

Some network file systems have no locks. There a file names the computer and the process that holds the run; one whose
process has died on this computer does not hold.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from genzoo import storage
from genzoo.bounded import read_text
from genzoo.errors import CorruptError, RunExistsError, StorageError

_log = logging.getLogger("genzoo.run")

LOCK = ".lock"
HOLDER = ".holder"
"""Stands in for a lock where the file system has none."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, None}
"""Errors of a file system without locks; None is that of a `NotImplementedError`."""


@contextmanager
def held(run: Path, seconds: float = 0.5) -> Generator[None]:
    """Hold a run.

    Args:
        run: Its folder.
        seconds: How long to wait for a process that holds it; `is_held` of another process takes it for a moment.

    Raises:
        RunExistsError: If another process holds it.
        StorageError: If the lock cannot be made.
    """
    lock = _lock(run)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise RunExistsError(f"run: {run} is held by another process.", _WAIT) from None
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) not in _NO_LOCKS:
            raise StorageError(
                f"run: {run} cannot be locked: {getattr(error, 'strerror', None) or error}.",
                "Copy the run to a disk that can be written.",
            ) from error
        with _named(run):
            yield
        return
    try:
        yield
    finally:
        lock.release()


def is_held(run: Path) -> bool:
    """Whether a process holds a run now; where that cannot be known, because the lock is another user's, it does."""
    if not (run / LOCK).exists():
        return False
    lock = _lock(run)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError) as error:
        if isinstance(error, Timeout):
            return True
        number = getattr(error, "errno", None)
        return _lives(_holder(run)) if number in _NO_LOCKS else number != errno.EROFS
    lock.release()
    return False


def _lock(run: Path) -> FileLock:
    """The system's lock alone: where there is none, filelock would take a file that is left from before for a lock."""
    try:
        return FileLock(run / LOCK, fallback_to_soft=False)
    except TypeError:  # An earlier filelock, which falls back to nothing.
        return FileLock(run / LOCK)


_WAIT = "Wait for it, or stop it, and try again."


@contextmanager
def _named(run: Path) -> Generator[None]:
    """Hold a run by a file that names this process."""
    file = run / HOLDER
    holder = _holder(run)
    if holder is not None and _lives(holder):
        host, pid = holder
        raise RunExistsError(
            f"run: {run} is held by process {pid} on {host}.", f"Wait for it; if it has ended, remove {file}."
        )
    with suppress(OSError):
        file.unlink(missing_ok=True)
    storage.make_file(file, f"{platform.node()} {os.getpid()}\n".encode())
    _log.warning("The file system of %s has no locks; do not start another process on this run.", run)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _holder(run: Path) -> tuple[str, int] | None:
    try:
        host, pid = read_text(run / HOLDER, most=1000).split()
        return host, int(pid)
    except (CorruptError, ValueError):
        return None


def _lives(holder: tuple[str, int] | None) -> bool:
    """Whether a process may still be there; one on another computer may."""
    if holder is None or holder[0] != platform.node():
        return holder is not None
    try:
        os.kill(holder[1], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
