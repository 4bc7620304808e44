"""What draws or listens comes after the checkpoint of its epoch, so that its death, or leaving it, costs no training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzoo.engine.checkpoint import find
from genzoo.engine.signals import StopRequested
from genzoo.errors import Interrupted
from genzoo.host.plugin_host import Host, host
from genzoo.runs.folder import RunFolder
from genzoo.training.start import resume, start
from genzoo.types import Kind

from .conftest import only_run, resolved, same_rows, same_weights

PICTURES = {"visualizers": {"samples": {"name": "samples"}}}
SAVED = [pytest.param(1, id="every-epoch"), pytest.param(1000, id="rarely")]


def small(**train: Any) -> Any:
    """Four epochs of two steps; figures after the first and the second."""
    return resolved(**PICTURES, train={"limit": 20, "epochs": 4, "viz_every": 2, **train})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return start(small(), host(), out=tmp_path_factory.mktemp("whole")).folder


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Do something in the n-th drawing, counted from 1, before anything is drawn."""

    visualizer = host().get(Kind.VISUALIZER, "samples").load()
    genuine = visualizer.draw
    armed: dict[str, Any] = {"left": 0}

    def draw(self: Any, view: Any) -> Any:
        armed["left"] -= 1
        if armed["left"] == 0:
            armed["act"]()
        return genuine(self, view)

    monkeypatch.setattr(visualizer, "draw", draw)

    def arm(n: int, act: Callable[[], None]) -> None:
        armed.update(left=n, act=act)

    return arm


def die_in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def repeats(folder: RunFolder, whole: RunFolder) -> None:
    resume(folder, host())
    assert same_rows(whole, folder)
    assert same_weights(whole, folder)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("checkpoint_every", SAVED)
@pytest.mark.parametrize(("drawing_number", "step"), [(1, 2), (2, 4)])
def test_a_visualizer_that_ends_the_process_costs_no_epoch(
    tmp_path: Path,
    whole: RunFolder,
    drawing: Callable[..., None],
    drawing_number: int,
    step: int,
    checkpoint_every: int,
) -> None:
    plan = small(checkpoint_every=checkpoint_every)
    drawing(drawing_number, lambda: os._exit(9))
    die_in_child(lambda: start(plan, host(), out=tmp_path))
    folder = only_run(tmp_path)
    assert find(folder.checkpoints) == folder.checkpoints / f"step-{step}"
    drawing(0, lambda: None)
    if checkpoint_every == 1:
        repeats(folder, whole)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_tracker_that_ends_the_process_costs_no_epoch(
    tmp_path: Path, whole: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: Host, hook: str, **arguments: Any) -> list[Any]:
        if hook == "genzoo_epoch_end" and arguments["row"]["epoch"] == 3:
            os._exit(9)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(Host, "call_lifecycle", call)
        die_in_child(lambda: start(small(), host(), out=tmp_path))
    folder = only_run(tmp_path)
    assert find(folder.checkpoints) == folder.checkpoints / "step-6"
    repeats(folder, whole)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_figures_are_drawn_leaves_at_once_with_the_epoch_saved(
    tmp_path: Path, whole: RunFolder, drawing: Callable[..., None], signum: int, code: int
) -> None:
    left: list[bool] = []

    def interrupt() -> None:
        try:
            os.kill(os.getpid(), signum)
        except StopRequested:
            left.append((only_run(tmp_path).checkpoints / "step-4").is_dir())
            raise

    drawing(2, interrupt)
    with pytest.raises(Interrupted) as stopped:
        start(small(), host(), out=tmp_path)
    assert stopped.value.exit_code == code
    assert left == [True]
    folder = only_run(tmp_path)
    assert folder.record()["status"] == "interrupted"
    assert find(folder.checkpoints) == folder.checkpoints / "step-4"
    assert len(folder.rows("epoch")) == 2
    repeats(folder, whole)


def test_a_second_ctrl_c_in_the_figures_drawn_at_the_first_stops_at_once(
    tmp_path: Path, whole: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"n": 0}
    visualizer = host().get(Kind.VISUALIZER, "samples").load()

    def draw(self: Any, view: Any) -> Any:
        calls["n"] += 1
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal did not leave the figure")

    with monkeypatch.context() as patch:
        patch.setattr(visualizer, "draw", draw)
        with pytest.raises(KeyboardInterrupt):
            start(small(), host(), out=tmp_path)
    assert calls["n"] == 2
    folder = only_run(tmp_path)
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("interrupted", 130)
    assert find(folder.checkpoints) == folder.checkpoints / "step-2"
    repeats(folder, whole)
