"""Several processes under torchrun train one run: the same curve as one process, one voice, one end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.cli import execute
from genzoo.compose.build import build
from genzoo.distributions import DiagonalNormal
from genzoo.engine.checkpoint import find, read_state
from genzoo.engine.workers import ALONE, Workers
from genzoo.errors import UsageError
from genzoo.randomness import derive
from genzoo.recipe import TrainOptions
from genzoo.training.follow import coupled_by_process

from .conftest import only_run, resolved, same_rows, same_weights
from .together_options import FACTOR, TWO, VAE

RESUMED = ["", "gan-", "after-"]
"""Of one player, of two, and of two stages: runs that are stopped and resumed."""

SCRIPT = Path(__file__).parent / "together.py"


@pytest.mark.parametrize(("images", "size"), [(16, 2), (13, 4), (1, 2), (3, 5)])
def test_shares_make_up_the_batch(images: int, size: int) -> None:
    index = torch.randperm(images)
    shares = [(Workers(rank, size).share(index), Workers(rank, size).weight(index)) for rank in range(size)]
    assert sum(weight for _, weight in shares) == pytest.approx(1)
    assert all(len(share) >= 1 for share, _ in shares), "a process without a share keeps in step with another's image"
    counted = torch.cat([share for share, weight in shares if weight])
    assert sorted(counted.tolist()) == list(range(images))
    assert all(weight in (0, len(share) / images) for share, weight in shares)


def test_one_process_keeps_its_seeds_and_several_differ() -> None:
    assert ALONE.seed(3, "step", 7) == derive(3, "step", 7)
    assert len({Workers(rank, 4).seed(3, "step", 7) for rank in range(4)} | {derive(3, "step", 7)}) == 5


@pytest.mark.parametrize("train", [{"batch_size": 3}, {"device": "cuda:0"}])
def test_options_that_several_processes_cannot_share_are_refused(train: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="processes"):
        Workers(0, 4).place(TrainOptions(**train))


def test_a_loss_that_couples_a_batch_is_told_of_by_name() -> None:
    beta_tc, elbo = (build(resolved(loss={"name": name})) for name in ("beta-tc", "elbo"))
    told = coupled_by_process(beta_tc, Workers(0, 2))
    assert "beta-tc couples the images" in told
    assert "8 of the 16" in told
    assert coupled_by_process(beta_tc, ALONE) == coupled_by_process(elbo, Workers(0, 2)) == ""
    free_bits = build(resolved(loss={"name": "elbo", "options": {"free_bits": 1}}))
    assert "elbo" in coupled_by_process(free_bits, Workers(0, 2))


def launch(root: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, str(SCRIPT), str(root), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        encoding="utf-8",
    )


class Launched:
    """What two processes left: the folder of runs, what they said, and the notes of each."""

    def __init__(self, root: Path) -> None:
        process = launch(root, "several")
        self.root = root
        self.out, self.err = process.communicate(timeout=400)
        assert process.returncode == 0, self.err
        self.notes = [json.loads((root / f"notes-{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return Launched(tmp_path_factory.mktemp("together"))


@pytest.mark.slow
class TestTwoProcesses:
    def test_gradients_are_weighed_and_summed(self, launched: Launched) -> None:
        for notes in launched.notes:
            gradient, values, spoilt, rest = notes["sums"]
            assert gradient == [[1.25] * 3] * 2
            assert values == [12.5]
            assert (spoilt, rest) == ([5.0, 5.0], [4.0]), "a share of no images counts for nothing, finite or not"
            assert (notes["gathered"], notes["told"]) == ([0, 1], "of 0")

    @pytest.mark.parametrize(("run", "more"), [("curve", []), ("factor", FACTOR)])
    def test_the_curve_is_that_of_one_process(
        self, launched: Launched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, more: list[str]
    ) -> None:
        """Also with a critic, whose term weighs nothing here, since each process permutes its own share."""
        monkeypatch.setattr(
            DiagonalNormal, "rsample", lambda self, shape=(): self.mean.expand(*shape, *self.mean.shape)
        )
        assert execute([*VAE, *TWO, *more, "--out", str(tmp_path)]) == 0
        alone, together = only_run(tmp_path), only_run(launched.root / run)
        rows = list(zip(alone.rows(), together.rows(), strict=True))
        assert len(rows) == 2
        for one, two in rows:
            for split in ("train", "test"):
                for name in ("objective", "distortion", "rate", "elbo"):
                    assert two[split][name] == pytest.approx(one[split][name], rel=1e-5)
        assert together.record()["settings"]["processes"] == 2

    def test_the_first_alone_writes_and_speaks(self, launched: Launched) -> None:
        folder = only_run(launched.root / "curve")
        assert [path.name for path in folder.figures.iterdir()] == ["samples.png"]
        assert len(list((launched.root / "curve").glob("vae/*"))) == 1
        assert launched.out.count(f"Run folder: {folder.path}") == 1
        assert launched.err.count(str(folder.path)) == launched.err.count(f"run folder {folder.path}") + 1  # figures
        assert launched.err.count("stopped by signal 15") == len(RESUMED)
        assert launched.err.count("beta-tc couples the images of a batch") == 1

    def test_weights_stay_equal(self, launched: Launched) -> None:
        """Also of a model that changes its own buffers after each step, and of a prior that is fitted afterwards."""
        one, two = launched.notes
        assert (
            one["codes"]
            == two["codes"]
            == {
                **dict.fromkeys(("curve", "factor", "vq", "tc"), 0),
                **{
                    f"{run}{end}": 143 if end == "stopped" else 0
                    for run in RESUMED
                    for end in ("whole", "stopped", "resumed")
                },
            }
        )
        assert one["weights"] == two["weights"]
        assert [row["kind"] for row in only_run(launched.root / "vq").rows()] == ["epoch", "prior", "prior", "fitted"]

    @pytest.mark.parametrize("run", RESUMED)
    def test_a_signal_to_one_stops_all_at_the_same_step_and_the_run_goes_on_as_if_never_stopped(
        self, launched: Launched, run: str
    ) -> None:
        one, two = launched.notes
        stopped = one["steps"][f"{run}stopped"]
        assert 0 < stopped == two["steps"][f"{run}stopped"] < one["steps"][f"{run}whole"]
        whole, resumed = only_run(launched.root / f"{run}whole"), only_run(launched.root / f"{run}stopped")
        assert resumed.record()["resumed"][0]["step"] == stopped
        if run == "after-":
            assert stopped > whole.rows("epoch")[-1]["step"], "it was stopped before the second stage"
            assert len(whole.rows("prior")) == 1
        assert same_rows(whole, resumed)
        assert same_weights(whole, resumed)

    def test_another_number_of_processes_is_warned_of(
        self, launched: Launched, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = only_run(launched.root / "curve")
        assert execute(["run", "--resume", str(folder.path), "--epochs", "3"]) == 0
        assert "processes is 1 and was 2" in capsys.readouterr().err


@pytest.mark.slow
def test_the_death_of_one_ends_all(tmp_path: Path) -> None:
    process = launch(tmp_path, "forever")
    try:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("forever/vae/*/checkpoints/step-*")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.2)
        folder = only_run(tmp_path / "forever")
        os.kill(json.loads((tmp_path / "notes-1.json").read_text(encoding="utf-8"))["pid"], 9)
        killed = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - killed < 30
    finally:
        process.kill()
    assert process.returncode != 0
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("failed", 1)
    assert "another process of this run has ended" in record["exit_reason"]
    assert err.count("another process of this run has ended") == 1
    assert f"genzoo run --resume {folder.path}" in err
    assert not folder.is_held
    checkpoint = find(folder.checkpoints)
    assert checkpoint is not None
    assert read_state(checkpoint)["step"] >= 5
