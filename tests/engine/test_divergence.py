"""A loss, a gradient or a scheduled value that is not finite ends the run before the step that it would spoil."""

from __future__ import annotations

import math
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.cli import execute
from genzoo.compose.build import build
from genzoo.engine.checkpoint import find
from genzoo.engine.optimizer import GuardedStep
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.errors import DivergedError
from genzoo.host.plugin_host import host
from genzoo.runs.load import splits
from genzoo.types import Kind, LossTerms

from .conftest import only_run, resolved
from .together_options import VQ

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
    """Make the n-th training step's (or evaluation's) loss what ``how`` makes of it; ``before`` is called first."""

    def arm(
        n: int,
        how: Callable[[LossTerms], LossTerms],
        before: Callable[[], None] = lambda: None,
        *,
        training: bool = True,
    ) -> None:
        kind = host().get(Kind.LOSS, "elbo").load()
        genuine = kind.forward
        steps = {"taken": 0}

        def forward(self: Any, output: Any, batch: Any, context: Any) -> LossTerms:
            terms = genuine(self, output, batch, context)
            if torch.is_grad_enabled() is not training:
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
    with pytest.raises(DivergedError, match=rf"{source} became NaN or infinite at step 2 \(epoch 1\)") as diverged:
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
    assert "distortion became NaN or infinite" in record["exit_reason"]
    assert find(folder.checkpoints) == folder.checkpoints / "step-4"
    assert [row["epoch"] for row in folder.rows("epoch")] == [1]
    assert (folder.figures / "samples.png").stat().st_size > 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "--clip-grad" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in folder.log_file.read_text(encoding="utf-8")
    # What was kept can be looked at, and it is said of which checkpoint.
    assert execute(["sample", str(folder.path), "-n", "4", "--out", str(tmp_path / "samples.png")]) == 0
    assert "This run failed; its last sound checkpoint, step-4, is used." in capsys.readouterr().err


def test_a_bad_step_is_told_when_a_signal_comes_before_it_is_noticed(
    tmp_path: Path, spoil: Callable[..., None]
) -> None:
    spoil(6, nan_distortion, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert execute(["run", "vae", *FLAGS, "--out", str(tmp_path)]) == 5
    assert "distortion became NaN or infinite at step 5" in only_run(tmp_path).record()["exit_reason"]


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


def nan_term(terms: LossTerms) -> LossTerms:
    return replace(
        terms, terms={**terms.terms, "rate": terms.terms["rate"] * math.nan}, objective=terms.objective * math.nan
    )


@pytest.mark.parametrize(
    ("evaluation", "how", "split", "term"),
    [
        pytest.param(3, nan_distortion, "holdout", "distortion", id="holdout"),
        pytest.param(4, nan_term, "test", "rate", id="test"),
        pytest.param(4, infinite_objective, "test", "objective", id="objective"),
    ],
)
def test_a_loss_that_is_not_finite_in_evaluation_ends_the_run_and_names_split_and_term(
    tmp_path: Path,
    spoil: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    evaluation: int,
    how: Callable[[LossTerms], LossTerms],
    split: str,
    term: str,
) -> None:
    spoil(evaluation, how, training=False)  # two evaluations an epoch
    more = ["--holdout", "12", "--out", str(tmp_path)]
    assert execute(["run", "vae", *FLAGS, *more]) == 5
    said = f"the loss's {term} is NaN or infinite on the {split} split after step 6"
    assert said in capsys.readouterr().err
    folder = only_run(tmp_path)
    record = folder.record()
    assert (record["status"], record["exit_code"]) == ("failed", 5)
    assert said in record["exit_reason"]
    assert find(folder.checkpoints) == folder.checkpoints / "step-3"
    assert (folder.checkpoints / "BEST").read_text(encoding="utf-8") == "step-3"
    assert [row["epoch"] for row in folder.rows("epoch")] == [1]


def test_a_term_that_the_objective_leaves_out_may_be_what_it_is(tmp_path: Path, spoil: Callable[..., None]) -> None:
    spoil(2, lambda terms: replace(terms, distortion=terms.distortion * math.inf), training=False)
    assert execute(["run", "vae", *FLAGS, "--out", str(tmp_path)]) == 0
    assert math.isnan(only_run(tmp_path).rows("epoch")[1]["test"]["distortion"])


def test_a_diverged_run_can_be_resumed_once_the_cause_is_gone(tmp_path: Path, spoil: Callable[..., None]) -> None:
    spoil(6, nan_gradient)
    assert execute(["run", "vae", *FLAGS, "--out", str(tmp_path)]) == 5
    folder = only_run(tmp_path)
    assert execute(["run", "--resume", str(folder.path)]) == 0
    assert [row["epoch"] for row in folder.rows("epoch")] == [1, 2, 3]


@pytest.mark.slow
class TestPriorThatIsFittedAfterwards:
    """Its step that is not finite is not taken, and no stop in between hides it."""

    @pytest.fixture
    def nll(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
        """Make −log p(z) NaN, from the second call on, in training or in evaluation."""
        kind = host().get(Kind.PRIOR, "autoregressive").load()
        genuine = kind.nll
        calls = {True: 0, False: 0}

        def spoil(training: bool) -> None:
            def nll(self: Any, *arguments: Any, **options: Any) -> torch.Tensor:
                found = genuine(self, *arguments, **options)
                calls[torch.is_grad_enabled()] += 1
                return found * math.nan if torch.is_grad_enabled() is training and calls[training] >= 2 else found

            monkeypatch.setattr(kind, "nll", nll)

        return spoil

    @pytest.mark.parametrize("training", [True, False])
    def test_ends_the_run(
        self, tmp_path: Path, nll: Callable[[bool], None], capsys: pytest.CaptureFixture[str], training: bool
    ) -> None:
        nll(training)
        assert execute([*VQ, "--out", str(tmp_path)]) == 5
        where = "at step 1 (epoch 1) of its fit" if training else "on the test split after step"
        assert where in capsys.readouterr().err
        assert find(only_run(tmp_path).checkpoints) is not None

    def test_is_told_when_a_signal_comes_before_it_is_noticed(
        self, tmp_path: Path, nll: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nll(True)
        genuine = GuardedStep.__call__
        steps: list[int] = []

        def step(self: GuardedStep, *arguments: Any, **options: Any) -> torch.Tensor:
            found = genuine(self, *arguments, **options)
            steps.append(int(self.first_bad_step() is not None))
            if steps[-1]:
                os.kill(os.getpid(), signal.SIGTERM)
            return found

        monkeypatch.setattr(GuardedStep, "__call__", step)
        assert execute([*VQ, "--out", str(tmp_path)]) == 5
        assert steps[-1] == 1
        assert "at step 1 (epoch 1) of its fit" in only_run(tmp_path).record()["exit_reason"]
