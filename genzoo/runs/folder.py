"""One run's folder: its files, its record, its lock and its rows. Imports no torch.

``run.json`` (the record), ``config.toml`` (the recipe that repeats it), ``metrics.jsonl``, ``checkpoints/``,
``figures/``, ``run.log``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genzoo import storage
from genzoo.errors import CorruptError, RunExistsError, StorageError, UsageError
from genzoo.plain import plain, read_record, read_row
from genzoo.text import json_text

SCHEMA = 1
"""Version of run.json."""

_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STAMP = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_STAMP_LENGTH = len("20260101T000000Z-000000")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class RunFolder:
    """The files of one run.

    Args:
        path: The folder; `create` makes one, `open_run` opens one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def record_file(self) -> Path:
        return self.path / "run.json"

    @property
    def config_file(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def log_file(self) -> Path:
        return self.path / "run.log"

    def record(self) -> dict[str, Any]:
        """run.json; a number that is not finite is NaN.

        Raises:
            CorruptError: If it cannot be read.
            UsageError: If it was written by a newer genzoo.
        """
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CorruptError(f"run: {self.record_file} cannot be read: {error}.") from None
        if record.get("schema", 0) > SCHEMA:
            raise UsageError(
                f"run: schema of {self.path.name} must be at most {SCHEMA}, got {record['schema']}.",
                "Install a newer genzoo to read this run.",
            )
        return read_record(record)

    def write_record(self, record: dict[str, Any]) -> None:
        storage.replace_json(self.record_file, plain(record))

    def update_record(self, **changes: Any) -> dict[str, Any]:
        """Change some fields of run.json and return it."""
        record = {**self.record(), **changes}
        self.write_record(record)
        return record

    def rows(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, of one kind or all; a torn last line is left out, and a number that is not
        finite is NaN."""
        try:
            text = self.metrics_file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        rows: list[dict[str, Any]] = []
        for line in text.split("\n"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and (kind is None or row.get("kind") == kind):  # pyright: ignore[reportUnnecessaryIsInstance]
                rows.append(read_row(row))
        return rows

    def last_row(self) -> dict[str, Any] | None:
        """The last epoch's row, with the test numbers of the fitted prior where one was fitted after it."""
        rows, fitted = self.rows("epoch"), self.rows("fitted")
        if rows and fitted:
            return {**rows[-1], "test": fitted[-1]["test"]}
        return rows[-1] if rows else None

    def add_row(self, row: dict[str, Any]) -> None:
        storage.append_line(self.metrics_file, _line(row))

    def rewind(self, epochs: int, prior_epochs: int = 0) -> None:
        """Drop rows after ``epochs`` (and ``prior_epochs`` of the second stage) and a torn last line, before a run
        goes on from a checkpoint of that epoch."""

        def keeps(row: dict[str, Any]) -> bool:
            if row.get("kind") == "prior":
                return row["prior_epoch"] <= prior_epochs
            return row.get("kind") != "fitted" and row.get("epoch", 0) <= epochs

        kept = [row for row in self.rows() if keeps(row)]
        text = "".join(_line(row) + "\n" for row in kept)
        storage.replace(self.metrics_file, text.encode())

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the run; the system frees the lock when the process ends, however it ends.

        Raises:
            RunExistsError: If another process holds it.
            StorageError: If the lock cannot be made.
        """
        lock = FileLock(self.path / ".lock")
        try:
            # `is_held` of another process takes it for a moment.
            lock.acquire(timeout=0.5)
        except Timeout:
            raise RunExistsError(
                f"run: {self.path} is held by another process.", "Wait for it, or stop it, and try again."
            ) from None
        except OSError as error:
            raise StorageError(
                f"run: {self.path} cannot be locked: {error.strerror or error}.",
                "Copy the run to a disk that can be written.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    @property
    def is_held(self) -> bool:
        """Whether a process holds the run now."""
        lock = FileLock(self.path / ".lock")
        if not (self.path / ".lock").exists():
            return False
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return True
        lock.release()
        return False


def create(out: Path, model: str, name: str = "") -> RunFolder:
    """Make a new run folder ``out/model/<UTC stamp>-<6 hex>[-name]``.

    Raises:
        UsageError: If the name could leave the folder or is reserved by some system.
        StorageError: If the disk refuses.
    """
    check_name(name)
    check_out(out, model)
    for _ in range(64):
        suffix = f"-{name}" if name else ""
        path = out / model / f"{_stamp(out)}{suffix}"
        try:
            storage.make_folder(path)
        except RunExistsError:
            continue
        folder = RunFolder(path)
        for sub in (folder.checkpoints, folder.figures):
            storage.make_folder(sub)
        return folder
    raise RunExistsError(f"run: no free folder name in {out / model}.", "Try again.")


def check_name(name: str) -> None:
    """Refuse a ``--name`` that is no plain word. See `create`."""
    if name and (not _SUFFIX.fullmatch(name) or ".." in name or _RESERVED.fullmatch(name)):
        shown = name if len(name) <= 40 else name[:40] + "…"
        raise UsageError(
            f"run: --name must be at most 100 letters, digits, dots, hyphens and underscores, got {shown!r}.",
            "It is appended to the run folder's name.",
        )


def check_out(out: Path, model: str) -> None:
    """Refuse a folder of runs that no system takes, or one whose folder of the model leads elsewhere. See `create`."""
    if "\0" in str(out) or any(len(os.fsencode(part)) > 255 for part in out.parts):
        raise UsageError(
            "run: --out must be a folder's name that the system takes, got one that is too long or has NUL."
        )
    if (out / model).is_symlink():
        raise UsageError(
            f"run: {out / model} must be a folder, got a link, and runs are not written through it.",
            "Name the folder it points to with --out.",
        )


def _stamp(out: Path) -> str:
    """``<UTC stamp>-<6 hex>``, later in the alphabet than every run in ``out``, even if the clock was set back."""
    newest = max((path.name[:_STAMP_LENGTH] for path in out.glob("*/*") if _STAMP.match(path.name)), default="")
    stamp, _, taken = newest.partition("-")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    first = int.from_bytes(os.urandom(2))
    if now > stamp:
        return f"{now}-{first:06x}"
    # Within one second, or before the newest run's, the number goes on from that run's.
    return f"{stamp}-{min(int(taken, 16) + 1 + first % 1024, 0xFFFFFF):06x}"


def _line(row: dict[str, Any]) -> str:
    return json_text(json.dumps(plain(row), ensure_ascii=False, allow_nan=False))


def is_run(path: Path) -> bool:
    """Whether a folder is a run."""
    try:
        return (path / "run.json").is_file() and (path / "config.toml").is_file()
    except OSError:
        # A name that is too long for the system.
        return False


def open_run(path: Path) -> RunFolder:
    """An existing run folder.

    Raises:
        UsageError: If it is none.
    """
    if not is_run(path):
        raise UsageError(f"run: {path} is no run folder.", "See `genzoo runs list`.")
    return RunFolder(path)
