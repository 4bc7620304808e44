"""A finished run that is resumed draws and measures what was asked for, says so, and is not trained on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.cli import execute
from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.types import Kind

TINY = shlex.split(
    "run vae --data digits --network mlp --network.hidden 8 --limit 16 --epochs 1 --batch-size 8 --device cpu "
    "--precision fp32 --viz samples"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("trained")
    assert execute([*TINY, "--out", str(out)]) == 0
    return next(all_runs(out))


@pytest.fixture
def copy(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "runs" / "vae" / trained.path.name)))


def kept(folder: RunFolder) -> dict[str, bytes]:
    """What training made."""
    files = [folder.metrics_file, *(path for path in folder.checkpoints.rglob("*") if path.is_file())]
    return {str(path): path.read_bytes() for path in files}


def test_new_figures_and_metrics_are_made_and_kept(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before, samples = kept(copy), (copy.figures / "samples.png").read_bytes()
    asked = ["--viz", "grid=reconstructions", "--viz.grid.count", "3", "--metric", "elbo", "--json"]
    assert execute(["run", "--resume", str(copy.path), *asked]) == 0
    said = capsys.readouterr()
    assert "is finished and was not trained on: drew grid and measured elbo" in said.err
    printed = json.loads(said.out)
    assert printed["figures"] == {"grid": {"files": ["grid.png"]}}
    assert kept(copy) == before
    assert (copy.figures / "grid.png").stat().st_size > 0
    assert (copy.figures / "samples.png").read_bytes() == samples
    record = copy.record()
    assert record["status"] == "finished"
    assert set(record["figures"]) == {"samples", "grid"}
    assert record["metrics"]["elbo"]["values"] == printed["metrics"]["elbo"]["values"]
    assert record["resumed"][-1]["step"] == 2
    # The recipe holds what was added, and the run is finished still.
    recipe = read_recipe(copy.config_file)
    assert set(recipe.visualizers) == {"samples", "grid"}
    assert recipe.visualizers["grid"].options["count"] == 3
    assert execute(["run", "--resume", str(copy.path)]) == 0
    assert "is finished; nothing to resume" in capsys.readouterr().err


def test_what_it_has_is_drawn_again_when_asked_for_by_name_or_with_other_options(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy.figures / "samples.png").unlink()
    assert execute(["run", "--resume", str(copy.path), "--viz", "samples"]) == 0
    assert "drew samples" in capsys.readouterr().err
    first = (copy.figures / "samples.png").read_bytes()
    assert execute(["run", "--resume", str(copy.path), "--viz.samples.count", "2", "--epochs", "1"]) == 0
    assert (copy.figures / "samples.png").read_bytes() != first


def test_fewer_epochs_are_not_written_into_the_recipe(copy: RunFolder) -> None:
    assert execute(["run", "--resume", str(copy.path), "--epochs", "3"]) == 0
    assert execute(["run", "--resume", str(copy.path), "--epochs", "1", "--viz", "reconstructions"]) == 0
    assert read_recipe(copy.config_file).train["epochs"] == 3
    assert len(copy.rows("epoch")) == 3


def test_one_that_fails_is_exit_1_and_costs_itself_alone(
    copy: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(host().get(Kind.VISUALIZER, "reconstructions").load(), "draw", draw)
    assert execute(["run", "--resume", str(copy.path), "--viz", "reconstructions", "--metric", "elbo"]) == 1
    assert "reconstructions failed: ValueError: no ink" in capsys.readouterr().err
    record = copy.record()
    assert record["status"] == "finished"
    assert record["figures"]["reconstructions"] == {"error": "ValueError: no ink"}
    assert record["metrics"]["elbo"]["values"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_run_finished_and_what_was_asked_for_to_be_made(
    copy: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, signum: int, code: int
) -> None:
    with monkeypatch.context() as patch:
        kind = host().get(Kind.VISUALIZER, "reconstructions").load()
        patch.setattr(kind, "draw", lambda *_: os.kill(os.getpid(), signum))
        assert execute(["run", "--resume", str(copy.path), "--viz", "reconstructions"]) == code
    assert "stays finished" in capsys.readouterr().err
    assert copy.record()["status"] == "finished"
    assert execute(["run", "--resume", str(copy.path)]) == 0
    assert "drew reconstructions" in capsys.readouterr().err
    assert (copy.figures / "reconstructions.png").is_file()


def test_what_does_not_fit_is_refused_and_nothing_changes(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy.record_file.read_bytes(), copy.config_file.read_bytes())
    assert execute(["run", "--resume", str(copy.path), "--viz", "class-swap"]) == 2
    assert execute(["run", "--resume", str(copy.path), "--viz", "no-such-figure"]) == 3
    assert (copy.record_file.read_bytes(), copy.config_file.read_bytes()) == before
    assert "class-swap" in capsys.readouterr().err
