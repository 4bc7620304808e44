"""Steps over buffers that never move: what CUDA replays as a graph, here with its operations launched one by one."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genzoo.compose.build import build
from genzoo.compose.plan import Plan
from genzoo.engine import settings as settings_of_engine
from genzoo.engine import static_steps
from genzoo.engine.listener import Listener
from genzoo.engine.settings import Settings, choose
from genzoo.engine.signals import Signals
from genzoo.engine.static_steps import WARM_UP, unfit
from genzoo.engine.train import Trainer
from genzoo.errors import DivergedError, Interrupted
from genzoo.host.plugin_host import host
from genzoo.runs.load import splits
from genzoo.training.start import resume, start

from .conftest import only_run, resolved, same_rows, same_weights
from .test_exactness import FACTOR_VAE, GAN, VQ

CASES: dict[str, dict[str, Any]] = {
    "vae": {},
    "sgd-clipped": {"train": {"optimizer": "sgd", "lr": 1e-4, "clip_grad": 1.0}},
    "averaged": {"train": {"ema": 0.9}},
    "gan": GAN,
    "factor-vae": FACTOR_VAE,
    "flow": {"prior": {"name": "flow"}},
}
EVERY = pytest.mark.parametrize("case", CASES)


class Told(Listener):
    """Keeps rows and notes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def epoch(self, row: dict[str, Any], stage: object) -> None:
        self.rows.append({key: value for key, value in row.items() if key not in {"seconds", "images_per_second"}})

    def note(self, text: str) -> None:
        self.notes.append(text)


def trainer(asked: Plan, *, static: bool) -> tuple[Trainer, Told]:
    experiment = build(asked)
    told = Told()
    chosen = replace(choose(asked.train, experiment.model), cuda_graphs=static)
    return Trainer(experiment, told, splits(experiment.dataset, asked.train), settings=chosen), told


def fitted(asked: Plan, *, static: bool) -> tuple[dict[str, Tensor], Told]:
    made, told = trainer(asked, static=static)
    made.initialise()
    made.fit(Signals())
    return {**made.model.state_dict(), **made.loss.state_dict(prefix="loss.")}, told


@pytest.fixture
def always_static(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run choose static steps."""

    def choosing(*given: Any) -> Settings:
        return replace(genuine(*given), cuda_graphs=True)

    genuine = settings_of_engine.choose
    for place in ("genzoo.training.start", "genzoo.engine.train"):
        monkeypatch.setattr(f"{place}.choose", choosing)


@EVERY
def test_static_steps_train_what_others_train(case: str) -> None:
    asked = resolved(**CASES[case])
    ours, told = fitted(asked, static=True)
    theirs, plainly = fitted(asked, static=False)
    assert told.notes == []
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)
    for one, other in zip(told.rows, plainly.rows, strict=True):
        assert one["quantities"] == other["quantities"]
        for split in ("train", "test"):
            assert one[split]["objective"] == pytest.approx(other[split]["objective"], rel=1e-4)


def test_all_steps_but_the_last_short_one_are_static(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = trainer(resolved(), static=True)
    sizes: list[tuple[bool, int]] = []
    genuine = made.loss.step

    def step(model: Any, batch: Any, context: Any, player: str) -> Any:
        sizes.append((isinstance(context.values["beta"], Tensor), len(batch)))
        return genuine(model, batch, context, player)

    monkeypatch.setattr(made.loss, "step", step)
    made.fit(Signals())
    assert sizes == [(True, 16), (True, 16), (True, 16), (False, 12)] * 2


def test_an_epoch_smaller_than_a_batch_has_no_static_step() -> None:
    asked = resolved(train={"batch_size": 64})
    ours, _ = fitted(asked, static=True)
    theirs, _ = fitted(asked, static=False)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@EVERY
def test_a_run_that_is_resumed_at_any_step_has_the_same_bits(
    case: str, tmp_path: Path, stop_at: Callable[[int | None], None], always_static: None
) -> None:
    asked = resolved(**CASES[case])
    whole = start(asked, host(), out=tmp_path / "whole").folder
    for stop in range(1, 7):
        stop_at(stop)
        with pytest.raises(Interrupted):
            start(asked, host(), out=tmp_path / str(stop))
        stop_at(None)
        folder = only_run(tmp_path / str(stop))
        resume(folder, host())
        assert same_rows(folder, whole)
        assert same_weights(folder, whole)


def test_a_run_of_fewer_steps_than_an_epoch_takes_only_these() -> None:
    made, told = trainer(resolved(train={"steps": 2}), static=True)
    made.fit(Signals())
    assert made.state.step == 2
    assert told.rows[-1]["step"] == 2


def test_the_step_that_is_not_finite_is_named_and_not_taken() -> None:
    made, _ = trainer(resolved(train={"epochs": 4}), static=True)
    calls, before = [0], dict[str, Tensor]()

    def spoil(module: Any, given: Any, terms: Any) -> Any:
        calls[0] += 1
        if calls[0] != 7:
            return terms
        before.update({name: value.clone() for name, value in made.model.state_dict().items()})
        return replace(terms, objective=terms.objective * torch.nan)

    made.loss.register_forward_hook(spoil)
    with pytest.raises(DivergedError, match=r"step 5\b"):
        made.fit(Signals())
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())


# What speaks against it.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (VQ, "VQVAE does something after each step"),
        ({"loss": {"name": "geco"}, "schedulers": {}}, "Geco does something after each step"),
        ({"train": {"optimizer": "adamax"}}, "adamax has no fused kernel"),
    ],
)
def test_what_a_graph_cannot_hold_is_told_once_and_trained_as_ever(changes: dict[str, Any], reason: str) -> None:
    ours, told = fitted(resolved(**changes), static=True)
    theirs, _ = fitted(resolved(**changes), static=False)
    assert told.notes == [f"Steps are not replayed as CUDA graphs: {reason}."]
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


def test_a_player_that_skips_steps_speaks_against_it() -> None:
    made, _ = trainer(resolved(**GAN), static=True)
    assert unfit(made.first) is None
    turn = made.first.turns["generator"]
    turn.player = replace(turn.player, every=2)
    assert unfit(made.first) == "a player takes no turn at some steps"


def counts(self: Any) -> None:
    self.calls = getattr(self, "calls", 0) + 1


def keeps_a_list(self: Any) -> None:
    self.seen = [*getattr(self, "seen", ()), 1.0]


def renames(self: Any) -> None:
    self.mean = getattr(self, "mean", torch.zeros(3)) * 0.9


def counts_in_a_tensor(self: Any) -> None:
    if not hasattr(self, "calls"):
        self.calls = torch.zeros(())
    self.calls.add_(1)


def puts_another_buffer(self: Any) -> None:
    if not hasattr(self, "shift"):
        self.register_buffer("shift", torch.zeros(3), persistent=False)
    self.shift = self.shift * 0.9 + 0.1


MISTAKES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a counter": (counts, "AnalyticElbo.calls"),
    "a list": (keeps_a_list, "AnalyticElbo.seen"),
    "another tensor": (renames, "AnalyticElbo.mean"),
    "a counter that is a tensor": (counts_in_a_tensor, "AnalyticElbo.calls"),
    "another buffer": (puts_another_buffer, "which tensor AnalyticElbo.shift is"),
    "random": (lambda self: random.random(), "the state of the module random"),
    "numpy": (lambda self: np.random.rand(), "the state of numpy's random generator"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_a_replay_would_leave_out_is_seen(mistake: str) -> None:
    change, named = MISTAKES[mistake]
    made, told = trainer(resolved(), static=True)
    made.loss.register_forward_hook(lambda module, given, terms: (change(module), terms)[1])
    made.fit(Signals())
    assert len(told.notes) == 1
    assert "not replayed as CUDA graphs: a step changes " in told.notes[0]
    assert named.replace("AnalyticElbo", type(made.loss).__name__) in told.notes[0]


# The parts of a step.


class Graph:
    """Stands for CUDA's: it calls the body that it was made of."""

    def __init__(self, body: Callable[[], object]) -> None:
        self.replay = body


def test_a_part_is_watched_then_captured_then_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    part = static_steps.Replayed(lambda: done.append("launched"), (), torch.device("cpu"), capture=False)
    part._capture = True

    def record(self: Any, seed: Callable[[], None]) -> None:
        self._graph = Graph(lambda: done.append("replayed"))
        self._graph.replay()

    monkeypatch.setattr(static_steps.Replayed, "_record", record)
    monkeypatch.setattr(static_steps, "_on_side_stream", lambda capture: nullcontext())
    monkeypatch.setattr(static_steps, "_waits", lambda capture: nullcontext([]))
    for _ in range(WARM_UP + 2):
        part(lambda: done.append("seed"))
    assert done == ["seed", "launched"] * WARM_UP + ["seed", "replayed"] * 2


def test_what_waits_for_the_device_is_never_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    part = static_steps.Replayed(lambda: None, (), torch.device("cpu"), capture=False)
    part._capture = True
    monkeypatch.setattr(static_steps, "_on_side_stream", lambda capture: nullcontext())
    monkeypatch.setattr(static_steps, "_waits", lambda capture: nullcontext(["item"]))
    for _ in range(WARM_UP + 2):
        part(lambda: None)
    assert part.reason == "a step waits for the device"
    assert part._graph is None
