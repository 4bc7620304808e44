"""Runs where the system gives out: no inodes, a disk that turns read-only, many at once, long ones, many files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genzoo.cli import execute
from genzoo.engine.checkpoint import find
from genzoo.runs.find import all_runs, find_run
from genzoo.runs.folder import RunFolder

FLAGS = ["--data", "digits", "--network", "mlp", "--network.hidden", "8", "--limit", "16", "--device", "cpu"]
TINY = ["run", "vae", *FLAGS]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system in memory; skips where this process may not mount one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


needs_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root on Linux"
)


@needs_mount
@pytest.mark.parametrize("inodes", [8, 16, 24])
def test_inodes_that_run_out_are_exit_7_and_the_run_goes_on(
    tmp_path: Path, inodes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "disk", f"size=64m,nr_inodes={inodes}") as disk:
        assert execute([*TINY, "--epochs", "3", "--keep", "3", "--out", str(disk)]) == 7
        assert "No space left" in capsys.readouterr().err
        runs = list(all_runs(disk))
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(disk)], check=True)
        if runs:
            assert execute(["run", "--resume", str(runs[0].path)]) == 0
            assert [row["epoch"] for row in runs[0].rows("epoch")] == [1, 2, 3]


@needs_mount
def test_a_disk_that_turned_read_only_is_exit_7_and_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "disk", "size=64m") as disk:
        assert execute([*TINY, "--epochs", "1", "--out", str(disk)]) == 0
        (run,) = all_runs(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert execute(["run", "--resume", str(run.path), "--epochs", "2"]) == 7
        assert execute(["runs", "rm", str(run.path), "--yes"]) == 7
        assert execute([*TINY, "--epochs", "1", "--out", str(disk)]) == 7
        for command in (["runs", "show", str(run.path)], ["runs", "list", "--out", str(disk)]):
            assert execute(command) == 0
        assert execute(["sample", str(run.path), "-n", "2", "--out", str(tmp_path / "samples.npz")]) == 0
        capsys.readouterr()
        assert execute(["eval", str(run.path), "elbo"]) == 7
        assert "elbo" in capsys.readouterr().out
        assert not run.is_held


@pytest.mark.slow
def test_of_three_resumes_at_once_one_goes_on(tmp_path: Path) -> None:
    assert execute([*TINY, "--epochs", "1", "--out", str(tmp_path)]) == 0
    (run,) = all_runs(tmp_path)
    command = [sys.executable, "-m", "genzoo", "run", "--resume", str(run.path), "--epochs", "400"]
    started = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) for _ in range(3)]
    codes = sorted(process.wait(300) for process in started)
    # One that begins when another has ended finds nothing left to do.
    assert set(codes) <= {0, 6}
    assert codes[0] == 0
    assert [row["epoch"] for row in run.rows("epoch")] == list(range(1, 401))
    assert find(run.checkpoints) is not None


@pytest.mark.slow
def test_fifty_processes_that_start_at_once_have_fifty_folders(tmp_path: Path) -> None:
    program = "import sys, pathlib; from genzoo.runs.folder import create; create(pathlib.Path(sys.argv[1]), 'vae')"
    command = [sys.executable, "-c", program, str(tmp_path)]
    started = [subprocess.Popen(command, env=ENVIRONMENT) for _ in range(50)]
    assert [process.wait(300) for process in started] == [0] * 50
    assert len(list((tmp_path / "vae").iterdir())) == 50


@pytest.mark.slow
def test_a_run_of_a_thousand_epochs_grows_in_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[int, tuple[int, int]] = {}
    genuine = RunFolder.add_row

    def add_row(self: RunFolder, row: dict[str, object]) -> None:
        genuine(self, row)  # type: ignore[arg-type]
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        sizes[int(str(row["epoch"]))] = (
            pages * os.sysconf("SC_PAGE_SIZE"),
            sum(1 for _ in Path("/proc/self/fd").iterdir()),
        )

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(RunFolder, "add_row", add_row)
    more = ["--checkpoint-every", "50", "--eval-every", "50", "--viz-every", "0"]
    assert execute([*TINY, "--epochs", "1000", *more, "--out", str(tmp_path)]) == 0
    (run,) = all_runs(tmp_path)
    assert len(run.rows("epoch")) == 1000
    (memory, files), (memory_before, files_before) = sizes[1000], sizes[200]
    assert files <= files_before + 2
    assert memory - memory_before < 50 * 2**20


@pytest.mark.slow
def test_fifty_thousand_files_beside_the_runs_stop_nothing(tmp_path: Path) -> None:
    assert execute([*TINY, "--epochs", "1", "--out", str(tmp_path)]) == 0
    (run,) = all_runs(tmp_path)
    for number in range(50_000):
        (run.path.parent / f"{number}.txt").touch()
    began = time.monotonic()
    assert find_run("last", tmp_path).path == run.path
    assert execute(["runs", "list", "--out", str(tmp_path)]) == 0
    assert execute([*TINY, "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert len(list(all_runs(tmp_path))) == 2
    assert time.monotonic() - began < 120
