"""SIGINT, SIGTERM and SIGHUP, sent for real, in training, evaluation, saving and drawing; and who may hold a run."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzoo import storage
from genzoo.cli import execute
from genzoo.engine import stage
from genzoo.engine.checkpoint import find
from genzoo.engine.optimizer import GuardedStep
from genzoo.errors import Interrupted, RunExistsError
from genzoo.host.plugin_host import host
from genzoo.runs.folder import RunFolder
from genzoo.training.start import resume, start
from genzoo.types import Kind

from .conftest import only_run, resolved, same_rows, same_weights

SMALL = {"train": {"limit": 20, "epochs": 2}}
FLAGS = shlex.split(
    "--data digits --data.shift 1 --network mlp --network.hidden 16 --scheduler linear-warmup --scheduler lr=cosine "
    "--scheduler.beta.epochs 2 --scheduler.beta.unit step --batch-size 16 --precision fp32 --device cpu"
)
SIGNALS = [
    pytest.param(signal.SIGINT, 130, id="int"),
    pytest.param(signal.SIGTERM, 143, id="term"),
    pytest.param(signal.SIGHUP, 129, id="hup"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return start(resolved(**SMALL), host(), out=tmp_path_factory.mktemp("whole")).folder


def run(out: Path, *more: str) -> int:
    return execute(["run", "vae", *FLAGS, "--limit", "20", "--epochs", "2", "--out", str(out), *more])


def once(action: Callable[[], None]) -> Callable[..., None]:
    """The action the first time, nothing after."""
    left = [action]

    def act(*_: object, **__: object) -> None:
        if left:
            left.pop()()

    return act


def send(*signums: int) -> Callable[[], None]:
    def act() -> None:
        for signum in signums:
            os.kill(os.getpid(), signum)

    return act


def repeats(out: Path, whole: RunFolder) -> None:
    """The interrupted run, resumed, is the run that nothing disturbed."""
    folder = only_run(out)
    resume(folder, host())
    assert same_rows(whole, folder)
    assert same_weights(whole, folder)


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_in_evaluation_saves_and_says_how_to_go_on(
    tmp_path: Path,
    whole: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signum: int,
    code: int,
) -> None:
    genuine, act = stage.evaluate, once(send(signum))

    def evaluate(*arguments: Any, **options: Any) -> Any:
        act()
        return genuine(*arguments, **options)

    monkeypatch.setattr(stage, "evaluate", evaluate)
    assert run(tmp_path) == code
    folder = only_run(tmp_path)
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("interrupted", code)
    assert folder.rows() == []
    assert f"genzoo run --resume {folder.path}" in capsys.readouterr().err
    repeats(tmp_path, whole)


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_in_a_training_step_saves_after_that_step(
    tmp_path: Path, whole: RunFolder, monkeypatch: pytest.MonkeyPatch, signum: int, code: int
) -> None:
    genuine, act = GuardedStep.__call__, once(send(signum))

    def step(self: GuardedStep, *arguments: Any, **options: Any) -> Any:
        act()
        return genuine(self, *arguments, **options)

    monkeypatch.setattr(GuardedStep, "__call__", step)
    assert run(tmp_path) == code
    folder = only_run(tmp_path)
    assert find(folder.checkpoints) == folder.checkpoints / "step-1"
    assert folder.record()["exit_reason"] == f"run: stopped by signal {signum} at step 1."
    repeats(tmp_path, whole)


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_while_a_run_is_made_ready_saves_before_the_first_step(
    tmp_path: Path, whole: RunFolder, signum: int, code: int
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    act = once(send(signum))

    def probe(operation: str, path: Path) -> None:
        if path.name == "run.json" and operation == "rename":
            act()

    with storage.probed(probe):
        assert run(tmp_path) == code
    folder = only_run(tmp_path)
    assert folder.record()["status"] == "interrupted"
    assert find(folder.checkpoints) == folder.checkpoints / "step-0"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    repeats(tmp_path, whole)


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_in_a_save_lets_it_finish(tmp_path: Path, whole: RunFolder, signum: int, code: int) -> None:
    act = once(send(signum))

    def probe(operation: str, path: Path) -> None:
        if path.name == "optimizer.safetensors":
            act()

    with storage.probed(probe):
        assert run(tmp_path) == code
    folder = only_run(tmp_path)
    assert find(folder.checkpoints) == folder.checkpoints / "step-2"
    assert len(folder.rows("epoch")) == 1
    repeats(tmp_path, whole)


def test_a_second_sigint_stops_at_once_and_leaves_what_was_saved(tmp_path: Path, whole: RunFolder) -> None:
    act = once(send(signal.SIGINT, signal.SIGINT))

    def probe(operation: str, path: Path) -> None:
        if operation == "write" and path.name == "manifest.json" and "-4-" in path.parent.name:
            act()

    with storage.probed(probe):
        assert run(tmp_path) == 130
    folder = only_run(tmp_path)
    assert find(folder.checkpoints) == folder.checkpoints / "step-2"
    assert folder.record()["status"] == "interrupted"
    repeats(tmp_path, whole)


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_in_the_last_figures_leaves_a_trained_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, code: int
) -> None:
    interrupt_drawing(monkeypatch, signum)
    assert (
        execute(["run", "vae", *FLAGS, "--limit", "20", "--epochs", "1", "--viz", "samples", "--out", str(tmp_path)])
        == code
    )
    folder = only_run(tmp_path)
    assert folder.record()["status"] == "interrupted"
    assert not list(folder.figures.iterdir())
    resume(folder, host())
    assert [path.name for path in folder.figures.iterdir()] == ["samples.png"]


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_signal_in_viz_or_eval_ends_the_command(
    tmp_path: Path,
    whole: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signum: int,
    code: int,
) -> None:
    before = whole.record_file.read_bytes()
    interrupt_drawing(monkeypatch, signum)
    assert execute(["viz", str(whole.path), "samples", "--out", str(tmp_path / "figures")]) == code
    assert not list((tmp_path / "figures").iterdir())
    metric = host().get(Kind.METRIC, "elbo").load()
    monkeypatch.setattr(metric, "evaluate", lambda *_: send(signum)())
    assert execute(["eval", str(whole.path), "elbo"]) == code
    assert whole.record_file.read_bytes() == before
    assert "defect" not in capsys.readouterr().err


def interrupt_drawing(monkeypatch: pytest.MonkeyPatch, signum: int) -> None:
    """The samples' first drawing is interrupted."""
    visualizer = host().get(Kind.VISUALIZER, "samples").load()
    genuine, act = visualizer.draw, once(send(signum))

    def draw(self: Any, view: Any) -> Any:
        act()
        return genuine(self, view)

    monkeypatch.setattr(visualizer, "draw", draw)


def test_a_signal_from_outside_while_training(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "genzoo",
        "run",
        "vae",
        *FLAGS,
        "--epochs",
        "100000",
        "--checkpoint-every",
        "100000",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--limit", "20", "--out", str(tmp_path)],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        deadline = time.monotonic() + 240
        while not any(tmp_path.glob("*/*/metrics.jsonl")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        folder = only_run(tmp_path)
        with pytest.raises(RunExistsError), folder.locked():
            pass
        assert execute(["run", "--resume", str(folder.path)]) == 6
        assert execute(["runs", "rm", str(folder.path), "--yes"]) == 6
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143
    assert out == ""
    assert "--resume" in err
    assert "Traceback" not in err
    checkpoint = find(folder.checkpoints)
    assert checkpoint is not None
    assert folder.record()["status"] == "interrupted"
    # The dead process's lock does not hold.
    assert (folder.path / ".lock").exists()
    with folder.locked():
        pass


def test_the_lock_names_the_run_and_is_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = start(resolved(**SMALL), host(), out=tmp_path).folder
    with folder.locked():
        assert execute(["run", "--resume", str(folder.path)]) == 6
        assert folder.is_held
    assert f"{folder.path} is held by another process" in capsys.readouterr().err
    assert not folder.is_held
    assert execute(["run", "--resume", str(folder.path)]) == 0


def test_ctrl_c_leaves_figures_of_what_there_is(tmp_path: Path, stop_at: Callable[[int | None], None]) -> None:
    curves = {"curves": {"name": "training-curves"}, "paths": {"name": "interpolation"}}
    stop_at(6)
    with pytest.raises(Interrupted):
        start(resolved(visualizers=curves, train={"viz_every": 0}), host(), out=tmp_path)
    folder = only_run(tmp_path)
    (folder.figures / "curves.png").unlink()
    stop_at(8)
    with pytest.raises(Interrupted):
        resume(folder, host(), changes={"epochs": 3})
    assert (folder.figures / "curves.png").is_file()
    assert folder.record()["figures"]["curves"] == {"files": ["curves.png"]}
