"""A run that is trained on, resumed with other epochs, or read while it trains loses and invents nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genzoo import storage
from genzoo.engine import checkpoint as checkpoints
from genzoo.engine.checkpoint import find, load_checkpoint, read_state, save_checkpoint, verify
from genzoo.engine.data import Loader
from genzoo.errors import CorruptError, GenzooError, Interrupted, StorageError, UsageError
from genzoo.host.plugin_host import host
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import load_run
from genzoo.training.start import resume, start

from .conftest import only_run, resolved, same_rows, same_weights, weights

TWO_STAGES: dict[str, Any] = {
    "model": {"name": "vq-vae"},
    "network": {"name": "conv", "options": {"channels": [8, 8]}},
    "prior": {"name": "autoregressive", "options": {"epochs": 2, "width": 8, "layers": 1}},
    "schedulers": {"lr": [{"name": "constant"}]},
}
"""A prior that is fitted after training, and a learning rate that does not depend on the number of epochs."""

STATE = {"epochs_done": 1, "step_in_epoch": 0}
"""The least that a checkpoint's state says."""


def finished(out: Path, **changes: Any) -> RunFolder:
    return start(resolved(**changes), host(), out=out).folder


def two_stages(out: Path, epochs: int) -> RunFolder:
    return finished(out, **TWO_STAGES, train={"epochs": epochs})


def test_a_run_whose_prior_was_fitted_is_trained_on_as_if_it_had_not_ended(tmp_path: Path) -> None:
    folder = two_stages(tmp_path / "a", 1)
    resume(folder, host(), changes={"epochs": 3})
    straight = two_stages(tmp_path / "b", 3)
    assert [row["epoch"] for row in folder.rows("epoch")] == [1, 2, 3]
    assert [row["prior_epoch"] for row in folder.rows("prior")] == [1, 2]
    assert [row["train"]["distortion"] for row in folder.rows("epoch")] == [
        row["train"]["distortion"] for row in straight.rows("epoch")
    ]
    found, expected = weights(folder), weights(straight)
    assert found.keys() == expected.keys()
    of_first = [name for name in expected if not name.startswith(("model/prior.", "optimizer/"))]
    assert any(name.startswith("earlier/") for name in of_first)
    # The prior is fitted anew from where it was.
    assert [name for name in of_first if not torch.equal(found[name], expected[name])] == []


def test_trained_on_and_interrupted_it_goes_on_from_its_newest_checkpoint(
    tmp_path: Path, stop_at: Callable[[int | None], None]
) -> None:
    whole = two_stages(tmp_path / "whole", 1)
    resume(whole, host(), changes={"epochs": 3})
    for moment in (6, 11):
        folder = two_stages(tmp_path / str(moment), 1)
        stop_at(moment)
        with pytest.raises(Interrupted):
            resume(folder, host(), changes={"epochs": 3})
        stop_at(None)
        newest = find(folder.checkpoints)
        assert newest is not None
        assert newest.name == (folder.checkpoints / "LAST").read_text(encoding="utf-8")
        assert read_state(newest)["epochs_done"] == len(folder.rows("epoch")) > 1
        resume(folder, host())
        assert same_rows(whole, folder)
        assert same_weights(whole, folder)


def test_the_best_checkpoint_survives_a_crash_between_last_and_best(tmp_path: Path) -> None:
    train = {"holdout": 12, "epochs": 6, "lr": 0.1, "keep": 1, "seed": 1}
    whole = finished(tmp_path / "whole", train=train)
    crashes = 0
    for n in range(6):
        out, written = tmp_path / str(n), iter(range(100))

        def probe(operation: str, path: Path, written: Any = written, n: int = n) -> None:
            if operation == "rename" and "BEST" in path.name and next(written) == n:
                raise OSError(5, os.strerror(5), str(path))

        try:
            with storage.probed(probe):
                start(resolved(train=train), host(), out=out)
        except StorageError:
            crashes += 1
        else:
            break
        folder = only_run(out)
        resume(folder, host())
        assert same_rows(whole, folder)
        best = (folder.checkpoints / "BEST").read_text(encoding="utf-8")
        assert best == (whole.checkpoints / "BEST").read_text(encoding="utf-8")
        assert verify(folder.checkpoints / best)
    assert crashes >= 2


def test_a_run_cannot_be_ended_where_it_has_been(tmp_path: Path, stop_at: Callable[[int | None], None]) -> None:
    stop_at(9)
    with pytest.raises(Interrupted):
        finished(tmp_path, train={"epochs": 5})
    stop_at(None)
    folder = only_run(tmp_path)
    trained = len(folder.rows("epoch"))
    assert trained
    before = folder.config_file.read_bytes()
    with pytest.raises(UsageError, match=f"more than the {trained} that are trained, or stay at 5"):
        resume(folder, host(), changes={"epochs": trained})
    assert folder.config_file.read_bytes() == before
    resume(folder, host(), changes={"epochs": trained + 1})
    rows = folder.rows("epoch")
    assert len(rows) == trained + 1
    assert rows[-1]["test_precision"] == "fp32"


def test_a_checkpoint_that_the_run_removes_meanwhile_is_looked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(tmp_path, train={"epochs": 3, "keep": 3})
    newest = find(folder.checkpoints)
    assert newest is not None
    original = checkpoints.verify
    removed: list[Path] = []

    def gone(path: Path) -> dict[str, Any]:
        manifest = original(path)
        if len(removed) < 2:
            removed.append(path)
            storage.remove_folder(path)
            return original(path) if len(removed) == 1 else manifest
        return manifest

    monkeypatch.setattr(checkpoints, "verify", gone)
    told: list[str] = []
    loaded = load_run(folder, host(), warn=told.append)
    assert len(removed) == 2
    assert loaded.epoch == 1
    assert not [message for message in told if "Falling back" in message]


def test_memory_that_runs_out_before_the_first_step_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Loader, "__init__", full)
    with pytest.raises(GenzooError, match="out of memory") as raised:
        finished(tmp_path)
    assert "must fit" in raised.value.hint
    folder = only_run(tmp_path)
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("failed", raised.value.exit_code)
    assert "OutOfMemoryError" in folder.log_file.read_text(encoding="utf-8")


def test_tied_weights_and_views_are_saved_and_loaded(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.register_buffer("all", torch.arange(6.0))
            self.register_buffer("some", self.get_buffer("all")[2:5])

    model = Tied()
    optimizer = torch.optim.Adam(model.parameters())
    model.b(model.a(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    path = save_checkpoint(tmp_path, 1, model, optimizer, None, STATE)
    again = Tied()
    load_checkpoint(path, again, torch.optim.Adam(again.parameters()))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_what_a_loss_learns_is_saved_and_loaded(tmp_path: Path) -> None:
    model, loss, again = nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    loss(torch.randn(8, 2))
    path = save_checkpoint(tmp_path, 1, model, torch.optim.Adam(model.parameters()), loss, STATE)
    load_checkpoint(path, nn.Linear(2, 2), None, again)
    assert int(again.get_buffer("num_batches_tracked")) == 1
    assert torch.equal(again.get_buffer("running_mean"), loss.get_buffer("running_mean"))


def test_what_is_written_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    asked: list[str] = []
    genuine = os.fsync

    def fsync(handle: int) -> None:
        synced.append(handle)
        genuine(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with storage.probed(lambda operation, _: asked.append(operation)):
        finished(tmp_path, train={"epochs": 1})
    assert len(synced) == asked.count("fsync") > 10


def test_training_leaves_denormal_numbers_as_they_were(tmp_path: Path) -> None:
    finished(tmp_path, train={"epochs": 1})
    assert float(torch.tensor(1e-40) * 1.0) != 0


def test_a_checkpoint_that_cannot_be_read_counts_as_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = finished(tmp_path)
    newest = find(folder.checkpoints)
    assert newest is not None
    original = storage.sha256

    def bad_disk(path: Path) -> str:
        if path.parent == newest:
            raise OSError(5, os.strerror(5), str(path))
        return original(path)

    monkeypatch.setattr(storage, "sha256", bad_disk)
    with pytest.raises(CorruptError, match="cannot be read"):
        verify(newest)
    older = find(folder.checkpoints)
    assert older is not None
    assert older != newest


def test_a_run_that_ended_by_steps_is_not_told_to_take_more_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from genzoo.cli import execute

    folder = finished(tmp_path, train={"steps": 3})
    assert execute(["run", "--resume", str(folder.path), "--epochs", "9"]) == 0
    assert "--steps" in capsys.readouterr().err


def norms(folder: RunFolder) -> float:
    return float(sum(value.square().sum() for name, value in weights(folder).items() if name.startswith("model/")))


def test_clipping_and_weight_decay_do_what_they_say(tmp_path: Path) -> None:
    train = {"optimizer": "sgd", "lr": 0.01, "epochs": 1, "steps": 1}
    flat = {"schedulers": {"lr": [{"name": "constant"}]}}
    start_weights = weights(finished(tmp_path / "0", **flat, train={**train, "lr": 1e-12}))
    moved: dict[float, float] = {}
    for clip in (1e-3, 1e-1):
        after = weights(finished(tmp_path / str(clip), **flat, train={**train, "clip_grad": clip}))
        total = sum(((after[name] - start_weights[name]) ** 2).sum() for name in after if name.startswith("model/"))
        moved[clip] = float(total) ** 0.5
    assert moved == pytest.approx({1e-3: 1e-5, 1e-1: 1e-3}, rel=0.05)
    plain = finished(tmp_path / "plain", **flat, train=train)
    decayed = finished(tmp_path / "decayed", **flat, train={**train, "weight_decay": 1.0})
    for name, value in weights(decayed).items():
        if name.startswith("model/"):
            expected = weights(plain)[name] - 0.01 * start_weights[name]
            assert torch.allclose(value, expected, atol=1e-6), name


def test_a_norm_that_overflows_is_not_clipped_to_nothing() -> None:
    from genzoo.engine.optimizer import GuardedStep

    weight = nn.Parameter(torch.ones(2))
    step = GuardedStep(torch.optim.SGD([weight], lr=0.1), clip=1.0)
    objective = (weight * 1e20).sum()
    step(objective, 7, objective.detach().reshape(1))
    assert step.first_bad_step() == 7
    assert torch.equal(weight.detach(), torch.ones(2))


def test_an_evaluation_is_in_eval_mode(tmp_path: Path) -> None:
    network = {"name": "mlp", "options": {"hidden": [16], "norm": "batch"}}
    folder = finished(tmp_path, network=network)
    loaded = load_run(folder, host())
    assert not loaded.experiment.model.training
    from genzoo.engine.evaluate import evaluate
    from genzoo.types import Context

    row = folder.rows("epoch")[-1]
    loader = Loader(loaded.experiment.dataset, loaded.view().splits["test"], "cpu")
    again = evaluate(
        loaded.experiment.model.train(),
        loaded.experiment.loss,
        loader,
        Context(row["quantities"], 60),
        seed=0,
        batch_size=500,
    )
    assert loaded.experiment.model.training
    assert again["distortion"] == row["test"]["distortion"]
    assert json.loads(json.dumps(row))["test_precision"] == "fp32"
