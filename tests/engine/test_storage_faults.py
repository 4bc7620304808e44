"""A disk that fails, or a process that dies, at any file operation of a run costs nothing that was saved before."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from genzoo import storage
from genzoo.cli import execute
from genzoo.engine.checkpoint import find, verify
from genzoo.errors import StorageError
from genzoo.host.plugin_host import host
from genzoo.runs.folder import RunFolder
from genzoo.training.start import resume, start

from .conftest import left_to_another_process, resolved, same_rows, same_weights

SMALL = {"train": {"limit": 20, "epochs": 2}}
"""Two epochs of two steps."""

OPERATIONS = 55
"""File operations of such a run; the page on faults states it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing disturbed."""
    return start(resolved(**SMALL), host(), out=tmp_path_factory.mktemp("whole")).folder


def full_disk(n: int, *, stays: bool, error: int = errno.ENOSPC) -> Callable[[str, Path], None]:
    """A probe under which the n-th operation fails, and with ``stays`` all after it."""
    calls = count()

    def probe(operation: str, path: Path) -> None:
        number = next(calls)
        if number == n or (stays and number > n):
            raise OSError(error, os.strerror(error), str(path))

    return probe


def test_the_operations_that_are_made_to_fail_are_all_there_are(tmp_path: Path) -> None:
    made: list[str] = []
    with storage.probed(lambda operation, _: made.append(operation)):
        start(resolved(**SMALL), host(), out=tmp_path)
    assert len(made) == OPERATIONS
    assert set(made) == {"mkdir", "write", "append", "rename", "fsync"}


def sound_step(folder: RunFolder) -> int | None:
    """The step of the newest checkpoint, which must verify without a newer one that does not."""

    def refuse(message: str) -> None:
        raise AssertionError(message)

    found = find(folder.checkpoints, warn=refuse) if folder.checkpoints.is_dir() else None
    return None if found is None else verify(found)["step"]


def go_on(out: Path, whole: RunFolder) -> int | None:
    """Check what a failed run left, resume it, and compare it with the run that nothing disturbed."""
    records = list(out.glob("*/*/run.json"))
    if not records:
        return None
    folder = RunFolder(records[0].parent)
    step = sound_step(folder)
    resume(folder, host())
    assert folder.record()["status"] == "finished"
    assert same_rows(whole, folder)
    assert same_weights(whole, folder)
    assert not list(folder.checkpoints.glob(".staging-*"))
    return step


@pytest.mark.parametrize(
    ("stride", "stays", "error"),
    [
        pytest.param(6, True, errno.ENOSPC, id="stays-full-sparse"),
        pytest.param(9, False, errno.EIO, id="bad-once-sparse"),
        pytest.param(1, True, errno.ENOSPC, id="stays-full", marks=pytest.mark.slow),
        pytest.param(1, False, errno.EIO, id="bad-once", marks=pytest.mark.slow),
    ],
)
def test_a_failure_of_any_file_operation_is_exit_7_and_resumable(
    tmp_path: Path, whole: RunFolder, stride: int, stays: bool, error: int
) -> None:
    steps: list[int | None] = []
    for n in count(0, stride):
        out = tmp_path / str(n)
        failure: StorageError | None = None
        try:
            with storage.probed(full_disk(n, stays=stays, error=error)):
                start(resolved(**SMALL), host(), out=out)
        except StorageError as raised:
            failure = raised
        if failure is None:
            break
        assert failure.exit_code == 7
        assert os.strerror(error) in failure.message
        assert "resume" in failure.hint
        steps.append(go_on(out, whole))
    assert len(steps) == len(range(0, OPERATIONS, stride)), "there are operations in which nothing failed"
    known = [step or 0 for step in steps]
    assert known == sorted(known), "a later failure lost an earlier checkpoint"
    assert {0, 2, 4} == set(known), "the disk did not fail before, between and after the checkpoints"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_death_at_any_file_operation_is_resumable(
    tmp_path: Path, whole: RunFolder, request: pytest.FixtureRequest
) -> None:
    if left_to_another_process(request):
        return
    died = 0
    for n in count():
        out = tmp_path / str(n)
        child = os.fork()
        if child == 0:
            calls = count()

            def die(operation: str, path: Path, calls: Any = calls, n: int = n) -> None:
                if next(calls) == n:
                    os.kill(os.getpid(), signal.SIGKILL)

            code = 1
            try:
                with storage.probed(die):
                    start(resolved(**SMALL), host(), out=out)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL
        died += 1
        go_on(out, whole)
    assert died == OPERATIONS


def test_an_output_folder_that_cannot_be_written_is_known_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr("genzoo.engine.train.Trainer.fit", never)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    def read_only(operation: str, path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    tiny = ["run", "vae", "--data", "digits", "--network", "mlp", "--limit", "20"]
    assert execute([*tiny, "--out", str(tmp_path / "file" / "runs")]) == 7
    assert execute([*tiny, "--out", str(tmp_path / "file")]) == 7
    with storage.probed(read_only):
        assert execute([*tiny, "--out", str(tmp_path / "runs")]) == 7
    said = capsys.readouterr()
    assert "Read-only file system" in said.err
    assert said.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_figure_that_cannot_be_written_costs_the_figure_alone(tmp_path: Path) -> None:
    def full(operation: str, path: Path) -> None:
        if path.parent.name == "figures" and path.name != "figures":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with storage.probed(full):
        outcome = start(resolved(**SMALL, visualizers={"samples": {"name": "samples"}}), host(), out=tmp_path)
    assert outcome.exit_code == 1
    assert "No space left" in outcome.figures["samples"]["error"]
    assert outcome.folder.record()["status"] == "finished"
    assert sound_step(outcome.folder) == 4
