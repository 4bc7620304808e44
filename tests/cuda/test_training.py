"""The engine on the device: it trains what the CPU trains, exactly again after an interruption, and no step waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo.cli import execute
from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import Plan, plan
from genzoo.engine.data import Loader
from genzoo.engine.listener import Listener
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.errors import DivergedError, Interrupted
from genzoo.host.plugin_host import host
from genzoo.parts.mapped import map_images
from genzoo.recipe import parse_recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import splits
from genzoo.testing.bench import GREY, BenchData
from genzoo.training.start import resume, start
from genzoo.types import LossTerms, Split

from .conftest import ON_CUDA, OPTION, PLACE, assert_close, may_wait, same_noise

CONV = {"name": "conv", "options": {"channels": [8, 8]}}
FITTED = {"name": "autoregressive", "options": {"epochs": 2, "width": 8, "layers": 1}}
TRAINED: dict[str, dict[str, Any]] = {
    "vae": {},
    "vae-conv": {"network": CONV},
    "cvae": {"model": "cvae"},
    "beta-vae": {"model": "beta-vae"},
    "ladder-vae": {"model": "ladder-vae"},
    "vq-vae": {"model": "vq-vae", "network": CONV, "prior": "uniform-codes"},
    "vq-vae-fitted": {"model": "vq-vae", "network": CONV, "prior": FITTED},
    "beta-tc": {"loss": "beta-tc"},
    "info-vae": {"loss": "info-vae"},
    "iwae": {"loss": "iwae"},
    "flow": {"prior": "flow"},
    "label-normal": {"prior": "label-normal"},
    "mixture": {"prior": "mixture"},
    "vampprior": {"prior": {"name": "vampprior", "options": {"pseudo_inputs": 8}}},
    "continuous-bernoulli": {"likelihood": "continuous-bernoulli"},
    "gaussian": {"likelihood": {"name": "gaussian", "options": {"learn": "pixel"}}},
}
EVERY = pytest.mark.parametrize("name", TRAINED)


def resolved(name: str, device: str = OPTION, **train: Any) -> Plan:
    """A small recipe: 60 of scikit-learn's digits, moved at random, in steps of 16."""
    content: dict[str, Any] = {
        "model": {"name": "vae"},
        "dataset": {"name": "digits", "options": {"shift": 1}},
        "network": {"name": "mlp", "options": {"hidden": [16]}},
    }
    for kind, part in TRAINED[name].items():
        content[kind] = {"name": part} if isinstance(part, str) else part
    content["train"] = {"epochs": 2, "limit": 60, "batch_size": 16, "precision": "fp32", "device": device, **train}
    return plan(parse_recipe(content, "test"), host())


class Rows(Listener):
    """Keeps the rows alone."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def epoch(self, row: dict[str, Any], stage: Any) -> None:
        self.rows.append(row)

    def fitted(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


def trainer_of(experiment: Experiment) -> tuple[Trainer, Rows]:
    observer = Rows()
    return Trainer(experiment, observer, splits(experiment.dataset, experiment.plan.train)), observer


def numbers(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """What the rows say of the splits."""
    found: dict[str, Tensor] = {}
    for index, row in enumerate(rows):
        for split in ("train", "test"):
            for key, value in row.get(split, {}).items():
                values = list(value.values()) if isinstance(value, Mapping) else value
                if values is not None:
                    found[f"row {index}, {split} {key}"] = torch.tensor(values, dtype=torch.float64)
    return found


@EVERY
def test_training_gives_what_the_cpu_gives(name: str) -> None:
    found: list[dict[str, Tensor]] = []
    for device in ("cpu", OPTION):
        experiment = build(resolved(name, device, epochs=1, optimizer="sgd", lr=1e-4, clip_grad=10.0))
        with same_noise():
            trainer, observer = trainer_of(experiment)
            trainer.initialise()
            trainer.fit(Signals())
        state = {f"weights {key}": value.clone() for key, value in experiment.model.state_dict().items()}
        assert all(value.device == torch.device("cpu" if device == "cpu" else PLACE) for value in state.values())
        found.append({**numbers(observer.rows), **{key: value.float() for key, value in state.items()}})
    assert_close(found[1], found[0], 1e-3)


# Exactly again


def newest(folder: RunFolder) -> dict[str, bytes]:
    """The bytes of all weights and of the optimizer after the last step."""
    last = folder.checkpoints / (folder.checkpoints / "LAST").read_text(encoding="utf-8").strip()
    return {path.name: path.read_bytes() for path in sorted(last.glob("*.safetensors"))}


@pytest.mark.parametrize(
    ("name", "precision", "stop"),
    [
        ("vae", "fp32", 3),
        ("vae-conv", "fp32", 6),
        ("vae-conv", "bf16", 3),
        ("cvae", "bf16", 5),
        ("ladder-vae", "fp32", 6),
        ("vq-vae-fitted", "fp32", 3),
        ("vq-vae-fitted", "bf16", 13),
        ("beta-tc", "fp32", 3),
        ("flow", "fp32", 3),
        ("mixture", "fp32", 3),
        ("vampprior", "bf16", 6),
        ("gaussian", "fp32", 3),
    ],
)
def test_a_resumed_run_is_bit_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, precision: str, stop: int
) -> None:
    asked = resolved(name, precision=precision)
    whole = start(asked, host(), out=tmp_path / "whole").folder
    again = start(asked, host(), out=tmp_path / "again").folder
    assert newest(again) == newest(whole), "the same seed gives other weights"
    with monkeypatch.context() as patched:
        patched.setattr(Signals, "poll", stopping(stop))
        with pytest.raises(Interrupted):
            start(asked, host(), out=tmp_path / "stopped")
    (folder,) = all_runs(tmp_path / "stopped")
    assert folder.record()["status"] == "interrupted"
    resume(folder, host())
    assert newest(folder) == newest(whole)
    assert numbers(folder.rows()).keys() == numbers(whole.rows()).keys()
    assert_close(numbers(folder.rows()), numbers(whole.rows()), 0.0)


def stopping(after: int) -> Callable[[Signals], None]:
    """A poll that finds a signal at its call of that number."""
    original, calls = Signals.poll, [0]

    def poll(self: Signals) -> None:
        calls[0] += 1
        if calls[0] > after:
            self.received = 2
        original(self)

    return poll


# Steps that are replayed as graphs


GRAPHED = sorted(TRAINED.keys() - {"vq-vae"})
"""The others do something after each step; of a run with a fitted prior the second stage is replayed."""


def graphs_of(trainer: Trainer) -> list[bool]:
    stage = trainer.stage
    return [] if stage.static is None else [part.captured for part in stage.static.parts]


@pytest.mark.skipif(not ON_CUDA, reason="only CUDA has graphs")
@pytest.mark.parametrize("name", GRAPHED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_steps_train_what_launched_ones_train(name: str, precision: str) -> None:
    found: list[dict[str, Tensor]] = []
    for graphs in (False, True):
        experiment = build(resolved(name, precision=precision, epochs=3, cuda_graphs=graphs))
        trainer, observer = trainer_of(experiment)
        trainer.initialise()
        trainer.fit(Signals())
        assert graphs_of(trainer) == ([True] if graphs else [])
        found.append({**numbers(observer.rows), **{k: v.float() for k, v in experiment.model.state_dict().items()}})
    assert_close(found[1], found[0], 1e-4 if precision == "fp32" else 1e-2)


@pytest.mark.skipif(not ON_CUDA, reason="only CUDA has graphs")
@pytest.mark.parametrize("mistake", ["waits", "counts", "fails in capture"])
def test_what_cannot_be_captured_is_trained_all_the_same(mistake: str) -> None:
    calls = [0]

    def spoil(module: Any, given: Any, terms: LossTerms) -> LossTerms:
        if not module.training:
            return terms
        if mistake == "waits":
            terms.objective.item()
        if mistake == "counts":
            module.calls = getattr(module, "calls", 0) + 1
        if mistake == "fails in capture" and torch.cuda.is_current_stream_capturing():
            calls[0] += 1
            terms.objective.item()
        return terms

    weights: list[dict[str, Tensor]] = []
    for graphs in (False, True):
        experiment = build(resolved("vae-conv", epochs=3, cuda_graphs=graphs))
        trainer, _ = trainer_of(experiment)
        experiment.loss.register_forward_hook(spoil)
        trainer.fit(Signals())
        weights.append(experiment.model.state_dict())
        if graphs:
            assert trainer.first.static is not None
            assert trainer.first.static.reason is not None
            assert graphs_of(trainer) == [False]
    assert calls[0] == (mistake == "fails in capture")
    assert_close(weights[1], weights[0], 1e-4)


@pytest.mark.skipif(not ON_CUDA, reason="only CUDA has graphs")
def test_a_replayed_step_that_is_not_finite_is_named_and_not_taken() -> None:
    experiment = build(resolved("vae-conv", epochs=4))
    trainer, _ = trainer_of(experiment)
    steps = torch.zeros((), device=PLACE)

    def spoil(module: Any, given: Any, terms: LossTerms) -> LossTerms:
        if module.training:
            steps.add_(1)
            return replace(terms, objective=terms.objective * torch.where(steps == 11, torch.nan, 1.0))
        return terms

    experiment.loss.register_forward_hook(spoil)
    with pytest.raises(DivergedError, match=r"step 10\b"):
        trainer.fit(Signals())
    assert graphs_of(trainer) == [True]
    assert all(bool(value.isfinite().all()) for value in experiment.model.state_dict().values())


# The guard


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize(
    ("optimizer", "clip"),
    [("adam", None), ("adam", 1.0), ("adamw", None), ("sgd", 1.0), ("adamax", None), ("rmsprop", 1.0)],
)
def test_a_loss_that_is_not_finite_leaves_the_weights_alone(optimizer: str, clip: float | None, where: str) -> None:
    experiment = build(resolved("vae-conv", optimizer=optimizer, clip_grad=clip))
    trainer, _ = trainer_of(experiment)
    before: dict[str, Tensor] = {}
    calls = [0]

    def spoil(module: Any, given: Any, terms: LossTerms) -> LossTerms:
        calls[0] += 1
        if calls[0] != 3:
            return terms
        before.update({name: value.clone() for name, value in experiment.model.state_dict().items()})
        if where == "loss":
            return replace(terms, objective=terms.objective * torch.nan)
        first = next(experiment.model.parameters())
        handle = first.register_hook(lambda gradient: (handle.remove(), gradient * torch.nan)[1])
        return terms

    experiment.loss.register_forward_hook(spoil)
    with pytest.raises(DivergedError, match=r"step 2\b"):
        trainer.fit(Signals())
    assert calls[0] > 2
    after = experiment.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(bool(value.isfinite().all()) for value in after.values())


class Watch(Signals):
    """From the second step to the seventh nothing may wait for the device; then the run is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def poll(self) -> None:
        self.steps += 1
        if self.steps == 2:
            may_wait(False)
        if self.steps == 7:
            may_wait(True)
            self.received = 2
        super().poll()


FUSED = [("adam", None), ("adam", 1.0), ("adamw", 1.0), ("sgd", 1.0)]


@pytest.mark.parametrize(
    ("name", "optimizer", "clip"),
    [(name, "adam", None) for name in TRAINED] + [("vae-conv", *how) for how in FUSED[1:]],
)
def test_no_step_waits_for_the_device(name: str, optimizer: str, clip: float | None) -> None:
    if not ON_CUDA and OPTION == "cpu":
        pytest.skip("the CPU waits for nothing")
    experiment = build(resolved(name, optimizer=optimizer, clip_grad=clip, batch_size=6))
    trainer, _ = trainer_of(experiment)
    trainer.initialise()
    watch = Watch()
    try:
        with pytest.raises(Interrupted):
            trainer.fit(watch)
    finally:
        may_wait(True)
    assert watch.steps == 7


# Precision


@EVERY
def test_bfloat16_is_close_to_float32(name: str) -> None:
    found: list[dict[str, Any]] = []
    for precision in ("fp32", "bf16"):
        experiment = build(resolved(name, precision=precision, epochs=3, lr=1e-3))
        with same_noise():
            trainer, observer = trainer_of(experiment)
            trainer.initialise()
            trainer.fit(Signals())
        rows = [row for row in observer.rows if row["kind"] == "epoch"]
        assert rows[0]["test_precision"] == precision
        assert rows[-1]["test_precision"] == "fp32"
        found.append(rows[-1]["test"])
        assert all(item.dtype == torch.float32 for item in experiment.model.parameters())
    assert found[1]["objective"] == pytest.approx(found[0]["objective"], rel=0.03)


# Images that stay in a file


def test_batches_of_a_mapped_file_are_those_of_memory(tmp_path: Path) -> None:
    data = BenchData(GREY)
    plain = data.split("train")
    stored = (plain.images * 255).round().to(torch.uint8)
    file = tmp_path / "images"
    file.write_bytes(stored.numpy().tobytes())
    images, pages = map_images(file, tuple(stored.shape))
    mapped = Loader(data, Split(images, plain.labels, plain.factors, pages), PLACE)
    held = Loader(data, Split(stored, plain.labels, plain.factors), PLACE)
    for index in (slice(3, 20), mapped.order(0, 1)[:16]):
        there = index if isinstance(index, slice) else index.to(PLACE)
        ours, theirs = mapped.batch(index, training=True), held.batch(there, training=True)
        assert ours.label is not None
        assert theirs.label is not None
        assert ours.image.device == ours.label.device == torch.device(PLACE)
        assert torch.equal(ours.image, theirs.image)
        assert torch.equal(ours.label, theirs.label)


# Memory


def test_memory_that_runs_out_is_exit_1_with_what_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["run", "vae", "--device", OPTION, "--epochs", "1", "--out", str(tmp_path)]
    if ON_CUDA:
        index = torch.device(PLACE).index
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(index).total_memory
        allowed = torch.cuda.memory_reserved(index) + (512 << 20)
        torch.cuda.set_per_process_memory_fraction(allowed / total, index)
        line += ["--batch-size", "60000"]
    else:
        line += ["--data", "digits", "--network", "mlp", "--limit", "32"]
        monkeypatch.setattr("genzoo.engine.data.Loader.batch", out_of_memory)
    try:
        assert execute(line) == 1
    finally:
        if ON_CUDA:
            torch.cuda.set_per_process_memory_fraction(1.0, torch.device(PLACE).index)
            torch.cuda.empty_cache()
    told = capsys.readouterr().err
    assert "the device ran out of memory" in told
    assert "--batch-size" in told
    (folder,) = all_runs(tmp_path)
    assert folder.record()["status"] == "failed"
    assert folder.record()["exit_code"] == 1


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
