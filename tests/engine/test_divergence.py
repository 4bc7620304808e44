"""A loss, a gradient or a scheduled value that is not finite ends the run before the step that it would spoil."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.cli import execute
from genzoo.compose.build import build
from genzoo.engine.checkpoint import find
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.errors import DivergedError
from genzoo.host import host
from genzoo.runs.load import splits
from genzoo.types import Kind, LossTerms

from .conftest import only_run, resolved

FLAGS = shlex.split(
    "--data digits --network mlp --network.hidden 16 --limit 60 --batch-size 16 --epochs 3 --precision fp32 --device cpu"
)


def nan_distortion(terms: LossTerms) -> LossTerms:
    return replace(terms, distortion=terms.distortion * math.nan, objective=terms.objective * math.nan)


def infinite_objective(terms: LossTerms) -> LossTerms:
    return replace(terms, objective=terms.objective * math.inf)


def nan_gradient(terms: LossTerms) -> LossTerms:
    """The objective is finite, and the gradient of √0 is not."""
    return replace(terms, objective=terms.objective + torch.sqrt(terms.objective * 0))


class Silent:
    """An observer that is told and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the n-th training step's loss what ``how`` makes of it; ``before`` is called first."""

    def arm(n: int, how: Callable[[LossTerms], LossTerms], before: Callable[[], None] = lambda: None) -> None:
        kind = host().get(Kind.LOSS, "elbo").load()
        genuine = kind.forward
        steps = {"taken": 0}

        def forward(self: Any, output: Any, batch: Any, context: Any) -> LossTerms:
            terms = genuine(self, output, batch, context)
            if not torch.is_grad_enabled():
                return terms
            steps["taken"] += 1
            if steps["taken"] == n:
                before()
                return how(terms)
            return terms

        monkeypatch.setattr(kind, "forward", forward)

    return arm


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize(
    ("how", "source"),
    [
        (nan_distortion, "the loss's distortion"),
        (infinite_objective, "the loss's objective"),
        (nan_gradient, "a gradient"),
    ],
)
def test_the_weights_before_the_bad_step_are_kept(
    spoil: Callable[..., None], optimizer: str, how: Callable[[LossTerms], LossTerms], source: str
) -> None:
    experiment = build(resolved(train={"optimizer": optimizer, "limit": 60}))
    trainer = Trainer(experiment, Silent(), splits(experiment.dataset, experiment.plan.train))  # type: ignore[arg-type]
    kept: dict[str, torch.Tensor] = {}

    def keep() -> None:
        kept.update({name: value.detach().clone() for name, value in trainer.model.named_parameters()})

    spoil(3, how, keep)
    with pytest.raises(DivergedError, match=rf"{source} must be finite, .* at step 2, epoch 1") as diverged:
        trainer.fit(Signals())
    assert diverged.value.exit_code == 5
    assert kept
    assert all(torch.equal(value, kept[name]) for name, value in trainer.model.named_parameters())


def test_the_run_ends_with_its_last_checkpoint_and_its_figures(
    tmp_path: Path, spoil: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(6, nan_distortion)
    assert execute(["run", "vae", *FLAGS, "--viz", "samples", "--viz-every", "0", "--out", str(tmp_path)]) == 5
    folder = only_run(tmp_path)
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("failed", 5)
    assert "distortion must be finite" in record["exit_reason"]
    assert find(folder.checkpoints) == folder.checkpoints / "step-4"
    assert [row["epoch"] for row in folder.rows("epoch")] == [1]
    assert (folder.figures / "samples.png").stat().st_size > 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "--clip-grad" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in folder.log_file.read_text()
    # What was kept can be looked at, and it is said of which checkpoint.
    assert execute(["sample", str(folder.path), "-n", "4", "--out", str(tmp_path / "samples.png")]) == 0
    assert "This run failed; its last sound checkpoint, step-4, is used." in capsys.readouterr().err


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_scheduled_value_that_is_not_finite_names_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    scheduler = host().get(Kind.SCHEDULER, "linear-warmup").load()
    genuine = scheduler.factor
    monkeypatch.setattr(scheduler, "factor", lambda self, at: value if at.epoch == 2 else genuine(self, at))
    assert execute(["run", "vae", *FLAGS, "--out", str(tmp_path)]) == 5
    assert "schedule: beta must be finite" in capsys.readouterr().err
    assert find(only_run(tmp_path).checkpoints) == only_run(tmp_path).checkpoints / "step-4"


def test_a_diverged_run_can_be_resumed_once_the_cause_is_gone(tmp_path: Path, spoil: Callable[..., None]) -> None:
    spoil(6, nan_gradient)
    assert execute(["run", "vae", *FLAGS, "--out", str(tmp_path)]) == 5
    folder = only_run(tmp_path)
    assert execute(["run", "--resume", str(folder.path)]) == 0
    assert [row["epoch"] for row in folder.rows("epoch")] == [1, 2, 3]
