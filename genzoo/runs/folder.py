"""One run's folder: its files, its record, its lock and its rows. Imports no torch.

``run.json`` (the record), ``config.toml`` (the recipe that repeats it), ``metrics.jsonl``, ``checkpoints/``,
``figures/``, ``run.log``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from genzoo import storage
from genzoo.bounded import Shape, checked, lines, parse_json, read_json
from genzoo.errors import CorruptError, GenzooError, RunExistsError, UsageError
from genzoo.plain import plain, read_record, read_row
from genzoo.runs.lock import held, is_held
from genzoo.runs.shape import ROWS, RecordShape, RowShape
from genzoo.text import json_text

SCHEMA = 1
"""Version of run.json."""

_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STAMP = re.compile(r"([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{6})")
_TIME = "%Y%m%dT%H%M%SZ"
_MOST = 0xFFFFFF
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class RunFolder:
    """The files of one run.

    Args:
        path: The folder; `create` makes one, `open_run` opens one.
        vouched: Whether its files are known to be those that a plugin ships.
    """

    def __init__(self, path: Path, *, vouched: bool = False) -> None:
        self.path = path
        self.vouched = vouched

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
            CorruptError: If it cannot be read, or is no record.
            UsageError: If it was written by a newer genzoo.
        """
        record = read_json(self.record_file, Shape)
        schema = record.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise UsageError(
                f"run: schema of {self.path.name} must be at most {SCHEMA}, got {schema}.",
                "Install a newer genzoo to read this run.",
            )
        return read_record(checked(record, RecordShape, str(self.record_file)))

    def write_record(self, record: dict[str, Any]) -> None:
        storage.replace_json(self.record_file, plain(record))

    def update_record(self, **changes: Any) -> dict[str, Any]:
        """Change some fields of run.json and return it."""
        record = {**self.record(), **changes}
        self.write_record(record)
        return record

    def rows(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, of one kind or all; a torn last line is left out, and a number that is not
        finite is NaN.

        Raises:
            CorruptError: If another line is no row, naming it.
        """
        return [row for row in self._rows(lambda _: True) if kind is None or row["kind"] == kind]

    def _rows(self, keeps: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Rows that ``keeps`` is true of; those that it is not true of may lack what a row of their kind must have."""
        rows: list[dict[str, Any]] = []
        newest = -1
        for number, line, whole in lines(self.metrics_file):
            if not line.strip():
                continue
            source = f"{self.metrics_file}, line {number}"
            try:
                row = parse_json(line, RowShape, source)
                if not keeps(row):
                    continue
                rows.append(read_row(checked(row, ROWS.get(row["kind"], Shape), source)))
                if row["kind"] == "epoch":
                    if row["epoch"] <= newest:
                        raise CorruptError(
                            f"read: {source} is damaged: epochs must rise, got {row['epoch']} after {newest}."
                        )
                    newest = row["epoch"]
            except CorruptError as error:
                if not whole:
                    break  # The last line, which the process died in.
                error.hint = "Remove that line by hand; the weights do not depend on it."
                raise
        return rows

    def last_row(self) -> dict[str, Any] | None:
        """The last epoch's row, with the test numbers of the fitted prior where one was fitted after it."""
        rows, fitted = self.rows("epoch"), self.rows("fitted")
        if rows and fitted:
            test = fitted[-1]["test"]
            own = {
                name: value for name, value in rows[-1].get("test", {}).items() if name in self._reported - set(test)
            }
            return {**rows[-1], "test": {**own, **test}}
        return rows[-1] if rows else None

    @property
    def _reported(self) -> set[str]:
        """Names of what the first stage's rows report, where run.json says so."""
        reports = self.record().get("reports", [])
        return {report["name"] for report in reports if isinstance(report, dict) and "name" in report}

    def add_row(self, row: dict[str, Any]) -> None:
        storage.append_line(self.metrics_file, _line(row))

    def rewind(self, epochs: int, prior_epochs: int = 0) -> None:
        """Drop rows after ``epochs`` (and ``prior_epochs`` of the second stage) and a torn last line, before a run
        goes on from a checkpoint of that epoch."""

        def keeps(row: dict[str, Any]) -> bool:
            if row["kind"] == "prior":
                return row.get("prior_epoch", 0) <= prior_epochs
            return row["kind"] != "fitted" and row.get("epoch", 0) <= epochs

        text = "".join(_line(row) + "\n" for row in self._rows(keeps))
        storage.replace(self.metrics_file, text.encode())

    def locked(self, seconds: float = 0.5) -> AbstractContextManager[None]:
        """Hold the run. See `genzoo.runs.lock.held`."""
        return held(self.path, seconds)

    @property
    def is_held(self) -> bool:
        """Whether a process holds the run now."""
        return is_held(self.path)


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
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    newest = max((stamp for path in out.glob("*/*") if (stamp := _stamp_of(path))), default=(now, -1))
    first = int.from_bytes(os.urandom(2))
    if now > newest[0] or newest[1] < 0:
        return f"{now:{_TIME}}-{first:06x}"
    # Within one second, or before the newest run's, the number goes on from that run's.
    number = newest[1] + 1 + first % 1024
    time = newest[0] if number <= _MOST else newest[0] + timedelta(seconds=1)
    return f"{time:{_TIME}}-{number if number <= _MOST else first:06x}"


def _stamp_of(path: Path) -> tuple[datetime, int] | None:
    """Time and number of a run folder's name; None of one that is no time, or the last that there is."""
    match = _STAMP.match(path.name)
    try:
        time = datetime.strptime(match[1], _TIME) if match else None
    except ValueError:
        return None
    return (time, int(match[2], 16)) if match and time and time.year < 9999 else None


def _line(row: dict[str, Any]) -> str:
    return json_text(json.dumps(plain(row), ensure_ascii=False, allow_nan=False))


def is_run(path: Path) -> bool:
    """Whether a folder is a run."""
    try:
        return (path / "run.json").is_file() and (path / "config.toml").is_file()
    except OSError:
        # A name that is too long for the system.
        return False


def lacks_recipe(path: Path) -> bool:
    """Whether a folder is a run by its name and its record, and has no config.toml any more."""
    try:
        named = _STAMP.match(path.name) is not None and (path / "run.json").is_file()
        return named and not (path / "config.toml").is_file()
    except OSError:
        return False


def without_recipe(path: Path) -> CorruptError:
    """What to say of such a run."""
    return CorruptError(
        f"run: {path / 'config.toml'} must be a file, and is none.", "Put it back; nothing else has the recipe."
    )


def is_own(run: RunFolder) -> bool:
    """Whether genzoo is known to have made a folder: it has a run's name, or a record that says what a run's does."""
    if _STAMP.match(run.path.resolve().name):
        return True
    try:
        return {"schema", "status"} <= run.record().keys()
    except GenzooError:
        return False


def open_run(path: Path) -> RunFolder:
    """An existing run folder.

    Raises:
        UsageError: If it is none.
    """
    if lacks_recipe(path):
        raise without_recipe(path)
    if not is_run(path):
        raise UsageError(f"run: {path} is no run folder.", "See `genzoo runs list`.")
    return RunFolder(path)
