"""A run repeats itself: by its seed, by its config.toml, and across an interruption at any moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.compose.plan import plan
from genzoo.engine.optimizer import GuardedStep
from genzoo.errors import Interrupted, UsageError
from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe
from genzoo.runs.folder import RunFolder
from genzoo.training.start import resume, start

from .conftest import left_to_another_process, only_run, resolved, same_rows, same_weights

VQ = {
    "model": {"name": "vq-vae"},
    "network": {"name": "conv", "options": {"channels": [8, 8]}},
    "prior": {"name": "autoregressive", "options": {"epochs": 2, "width": 8, "layers": 1}},
}

FACTOR_VAE = {"loss": {"name": "factor-vae", "options": {"critic": [8], "critic_lr": 1e-2}}}
GAN = {
    "model": {"name": "gan", "options": {"latent_dim": 3, "conditional": True}},
    "loss": {"name": "adversarial", "options": {"critic_lr": 1e-3}},
    "schedulers": {"critic_lr": [{"name": "cosine"}]},
}
WGAN = {
    **GAN,
    "loss": {"name": "adversarial", "options": {"game": "wgan-gp", "critic_steps": 2}},
}
PIXELS = {
    "model": {"name": "pixels"},
    "network": None,
    "prior": {"name": "flow-matching", "options": {"steps": 2}},
    "field": {"name": "unet", "options": {"width": 8}},
    "schedulers": {"lr": [{"name": "cosine"}]},
}
REFITTED = {
    "prior": {"name": "flow", "options": {"layers": 2, "width": 8}},
    "train": {"ema": 0.9, "holdout": 12, "fit_prior": "after"},
}
GECO = {
    "loss": {"name": "geco", "options": {"target": 20.0, "speed": 0.1}},
    "schedulers": {"lr": [{"name": "cosine"}]},
}


def finished(out: Path, **changes: object) -> RunFolder:
    return start(resolved(**changes), host(), out=out).folder


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    one, two = finished(tmp_path / "a"), finished(tmp_path / "b")
    other = finished(tmp_path / "c", train={"seed": 1})
    assert same_rows(one, two)
    assert same_weights(one, two)
    assert not same_rows(one, other)


def test_config_toml_repeats_the_run(tmp_path: Path) -> None:
    first = finished(tmp_path / "a")
    again = start(plan(read_recipe(first.config_file), host()), host(), out=tmp_path / "b").folder
    assert same_rows(first, again)
    assert same_weights(first, again)
    assert again.config_file.read_text(encoding="utf-8") == first.config_file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="vae"),
        pytest.param({"train": {"holdout": 12, "optimizer": "rmsprop"}}, id="holdout-rmsprop"),
        pytest.param({"train": {"eval_every": 3, "epochs": 5}}, id="evaluated-seldom", marks=pytest.mark.slow),
        pytest.param(VQ, id="vq-vae-fitted-prior", marks=pytest.mark.slow),
        pytest.param(FACTOR_VAE, id="two-players", marks=pytest.mark.slow),
        pytest.param(GAN, id="gan", marks=pytest.mark.slow),
        pytest.param(WGAN, id="wgan-gp", marks=pytest.mark.slow),
        pytest.param({**PIXELS, "train": {"ema": 0.9}}, id="prior-stage-alone-averaged", marks=pytest.mark.slow),
        pytest.param(REFITTED, id="second-stage-from-best-averages", marks=pytest.mark.slow),
        pytest.param(GECO, id="objective-that-follows-its-report", marks=pytest.mark.slow),
    ],
)
def test_interrupted_at_any_moment_and_resumed_is_never_interrupted(
    tmp_path: Path, stop_at: Callable[[int | None], None], changes: dict[str, object]
) -> None:
    whole = finished(tmp_path / "whole", **changes)
    moments, steps = 0, set[int]()
    while True:
        out = tmp_path / f"at-{moments}"
        stop_at(moments)
        try:
            start(resolved(**changes), host(), out=out)
            break
        except Interrupted as stopped:
            code = stopped.exit_code
        assert code == 130
        folder = only_run(out)
        assert folder.record()["status"] == "interrupted"
        stop_at(None)
        resume(folder, host())
        assert folder.record()["status"] == "finished"
        steps.add(folder.record()["resumed"][-1]["step"])
        assert same_rows(whole, folder), f"rows differ after a stop at moment {moments}"
        assert same_weights(whole, folder), f"weights differ after a stop at moment {moments}"
        moments += 1
    taken = max(row["step"] for row in whole.rows())
    assert steps == set(range(taken + 1)), "the run was not interrupted at each of its steps"


def kill_after(turns: int) -> None:
    """Kill this process once so many turns of players were taken, and before anything else is done."""
    genuine, taken = GuardedStep.__call__, count(1)

    def die(self: GuardedStep, *given: Any) -> Any:
        values = genuine(self, *given)
        if next(taken) == turns:
            os.kill(os.getpid(), signal.SIGKILL)
        return values

    GuardedStep.__call__ = die  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize(
    ("changes", "turns", "steps"),
    [
        pytest.param(FACTOR_VAE, 2, 4, id="two-players"),
        pytest.param(GAN, 2, 4, id="gan"),
        pytest.param(REFITTED, 1, 6, id="two-stages"),
    ],
)
def test_killed_at_any_step_and_resumed_is_never_killed(
    tmp_path: Path, changes: dict[str, dict[str, object]], turns: int, steps: int, request: pytest.FixtureRequest
) -> None:
    """Two steps per epoch; each run is ended in the last turn of a step by a signal that no process outlives."""
    if left_to_another_process(request):
        return
    train = changes.get("train", {})
    changes = {**changes, "train": {**train, "limit": 24 + int(train.get("holdout", 0))}}
    whole = finished(tmp_path / "whole", **changes)
    assert max(row["step"] for row in whole.rows()) == steps
    for last in range(steps):
        out = tmp_path / str(last)
        child = os.fork()
        if child == 0:
            kill_after(turns * (last + 1))
            try:
                finished(out, **changes)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        folder = only_run(out)
        resume(folder, host())
        assert same_rows(whole, folder), f"rows differ after a kill at step {last}"
        assert same_weights(whole, folder), f"weights differ after a kill at step {last}"


def test_training_leaves_the_users_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finished(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_finished_run_is_said_to_be_finished(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    before = folder.metrics_file.read_bytes()
    outcome = resume(folder, host())
    assert outcome.exit_code == 0
    assert folder.metrics_file.read_bytes() == before


def test_a_finished_run_can_be_trained_on(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    resume(folder, host(), changes={"epochs": 3})
    assert [row["epoch"] for row in folder.rows("epoch")] == [1, 2, 3]


def test_resuming_with_another_option_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    with pytest.raises(UsageError, match=r"lr is 0\.001 and 0\.01 was asked for") as refused:
        resume(folder, host(), changes={"lr": 0.01})
    assert refused.value.exit_code == 2


def test_best_and_early_stopping_look_at_held_out_images(tmp_path: Path) -> None:
    folder = finished(tmp_path, train={"holdout": 12, "epochs": 30, "patience": 2, "lr": 0.05, "keep": 1})
    rows = folder.rows("epoch")
    best = max(rows, key=lambda row: row["holdout"]["elbo"])
    assert len(rows) < 30
    assert rows[-1]["epoch"] - best["epoch"] == 2
    assert (folder.checkpoints / "BEST").read_text(encoding="utf-8") == f"step-{best['step']}"
    assert (folder.checkpoints / f"step-{best['step']}").is_dir()
