"""Stages and players: what takes part when, what is refused by name, averaged weights, and starts from another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from genzoo.cli import execute
from genzoo.compose.build import build
from genzoo.compose.plan import plan
from genzoo.engine.averages import Averages
from genzoo.engine.checkpoint import find
from genzoo.engine.listener import Listener
from genzoo.engine.optimizer import Guard, GuardedStep
from genzoo.engine.signals import Signals
from genzoo.engine.tensor_files import read_tensors
from genzoo.engine.train import Trainer
from genzoo.errors import CorruptError, DivergedError, GenzooError, IncompatibleError, UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces import Objective
from genzoo.recipe import read_recipe
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import load_run, splits
from genzoo.training.initial import init_from
from genzoo.training.start import resume, start

from .conftest import recipe, resolved
from .test_exactness import FACTOR_VAE, GAN, GECO, PIXELS, REFITTED

OLD = Path(__file__).parents[1] / "runs_of_0_1"


def trained(out: Path, **changes: object) -> RunFolder:
    return start(resolved(**changes), host(), out=out).folder


def trainer_of(listener: Listener | None = None, **changes: object) -> Trainer:
    experiment = build(resolved(**changes))
    return Trainer(experiment, listener or Listener(), splits(experiment.dataset, experiment.plan.train))


# Players.


def test_a_player_takes_part_in_every_nth_step_and_the_row_says_what_each_did(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = host().get("loss", "factor-vae").load()  # type: ignore[arg-type]
    genuine_players, genuine_step = kind.players, kind.step
    turns: list[str] = []

    def players(self: Objective, model: nn.Module) -> object:
        from dataclasses import replace

        first, critic = genuine_players(self, model)
        return first, replace(critic, every=3)

    def step(self: Objective, model: nn.Module, batch: object, context: object, player: str) -> object:
        turns.append(player)
        return genuine_step(self, model, batch, context, player)

    monkeypatch.setattr(kind, "players", players)
    monkeypatch.setattr(kind, "step", step)
    rows: list[dict] = []

    class Rows(Listener):
        def epoch(self, row, stage):  # type: ignore[no-untyped-def]
            rows.append(row)

    trainer_of(Rows(), **FACTOR_VAE, train={"epochs": 1}).fit(Signals())
    assert turns == ["model", "critic", "model", "model", "model", "critic"]
    assert set(rows[0]["train"]["players"]) == {"model", "critic"}
    assert 0 <= rows[0]["train"]["critic_accuracy"] <= 1
    assert "critic_accuracy" not in rows[0]["test"]


def test_each_player_moves_its_own_parameters_alone() -> None:
    trainer = trainer_of(**GAN, train={"epochs": 1})
    critic = {name: p.detach().clone() for name, p in trainer.loss.named_parameters()}
    optimizers = trainer.optimizers()
    assert set(optimizers) == {"optimizer", "optimizer-generator"}
    optimizers["optimizer-generator"].zero_grad = lambda set_to_none=True: None  # keep what was summed
    trainer.fit(Signals())
    owned = [{id(p) for group in each.param_groups for p in group["params"]} for each in optimizers.values()]
    assert not owned[0] & owned[1]
    assert any(not torch.equal(p, critic[name]) for name, p in trainer.loss.named_parameters())
    assert all(each.param_groups[0]["betas"] == (0.5, 0.999) for each in optimizers.values())


def test_the_first_bad_turn_is_named_by_its_step_whichever_player_had_it() -> None:
    one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    guard = Guard(torch.device("cpu"), (1, 3))
    steps = [GuardedStep(torch.optim.Adam([p], fused=True), None, guard=guard, alone=False) for p in (one, two)]
    for step in range(10, 20):
        for every, own, parameter in zip((1, 3), steps, (one, two), strict=True):
            if step % every == 0:
                value = parameter.sum() * (torch.nan if (step, every) == (15, 3) else 1.0)
                own(value, step, value.detach().reshape(1))
    assert guard.first_bad_step() == 15
    assert torch.isfinite(one).all()
    assert torch.isfinite(two).all()


def test_a_critic_that_diverges_ends_the_run_and_leaves_finite_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = host().get("loss", "adversarial").load()  # type: ignore[arg-type]
    genuine, calls = kind._critic_terms, []

    def spoiled(self, batch, generated, context):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        calls.append(1)
        terms = genuine(self, batch, generated, context)
        return replace(terms, objective=terms.objective * (torch.nan if len(calls) == 3 else 1))

    monkeypatch.setattr(kind, "_critic_terms", spoiled)
    trainer = trainer_of(**GAN)
    with pytest.raises(DivergedError, match=r"became NaN or infinite at step 2 \(epoch 1\)"):
        trainer.fit(Signals())
    assert all(torch.isfinite(p).all() for p in [*trainer.model.parameters(), *trainer.loss.parameters()])


def test_a_weight_follows_what_is_measured(tmp_path: Path) -> None:
    folder = trained(tmp_path, **GECO)
    weights = [row["train"]["objective"] for row in folder.rows("epoch")]
    assert len(weights) == 2
    checkpoint = find(folder.checkpoints)
    assert checkpoint is not None
    state = read_tensors(checkpoint / "loss.safetensors")
    assert float(state["log_weight"]) > 0, "digits start above 20 nats, so the weight must have grown"


# Stages.


def test_a_model_without_parameters_has_the_priors_stage_alone(tmp_path: Path) -> None:
    folder = trained(tmp_path, **PIXELS)
    assert folder.rows("prior") == []
    rows = folder.rows("epoch")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert "velocity_error" in rows[-1]["test"]
    record = folder.record()
    assert [report["name"] for report in record["reports"]] == ["velocity_error"]
    assert record["headline"] == ["velocity_error", "lower"]
    assert folder.rows("fitted") == [], "a prior without a density has no elbo"
    assert load_run(folder, host()).experiment.model.sample(2, seed=0).shape == (2, 1, 8, 8)


def test_steps_and_epochs_run_on_over_both_stages(tmp_path: Path) -> None:
    folder = trained(tmp_path, **REFITTED)
    first, second = folder.rows("epoch"), folder.rows("prior")
    assert [row["epoch"] for row in first + second] == list(range(1, len(first) + len(second) + 1))
    steps = [row["step"] for row in first + second]
    assert steps == sorted(steps)
    assert second[0]["prior_epoch"] == 1
    assert "holdout" in second[0], "the prior's stage holds images out too"
    last = find(folder.checkpoints, best=True)
    assert last is not None
    assert int(last.name.removeprefix("step-")) > first[-1]["step"], "the best checkpoint is of the last stage"


def test_a_prior_that_is_fitted_after_stays_as_it_is_in_the_first_stage() -> None:
    changes = {**REFITTED, "train": {"fit_prior": "after"}}
    trainer = trainer_of(**changes)
    before = {name: p.detach().clone() for name, p in trainer.model.prior.named_parameters()}
    trainer.first.fit(Signals())
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.prior.named_parameters())
    trainer.fit(Signals())
    assert any(not torch.equal(p, before[name]) for name, p in trainer.model.prior.named_parameters())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prior": {"name": "vampprior"}, "train": {"fit_prior": "after"}}, "vampprior cannot be fitted after"),
        ({"model": {"name": "vq-vae"}, "train": {"fit_prior": "joint"}}, "cannot be fitted together"),
        ({**PIXELS, "likelihood": {"name": "gaussian"}}, "pixels takes no likelihood"),
        ({**PIXELS, "network": {"name": "mlp"}}, "pixels takes no network"),
        ({**PIXELS, "field": {"name": "conv"}}, "conv offers no field"),
        ({"field": {"name": "unet"}}, "takes no field"),
        ({**PIXELS, "schedulers": {"beta": [{"name": "cyclical"}]}}, "the scheduler cyclical of beta drives nothing"),
        ({**GAN, "loss": {"name": "elbo"}}, "elbo needs a model that encodes and decodes"),
        ({**GAN, "visualizers": {"r": {"name": "reconstructions"}}}, "reconstructions needs a model that encodes"),
        ({**GAN, "metrics": {"e": {"name": "elbo"}}}, "elbo needs a model that encodes"),
        ({"prior": {"name": "flow-matching"}, "field": {"name": "mlp"}, "metrics": {"n": {"name": "nll"}}}, "exact"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_before_training(changes: dict, said: str) -> None:
    with pytest.raises(GenzooError, match=said):
        build(resolved(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({**PIXELS, "prior": {"name": "standard-normal"}, "field": None}, "parameters to train, got none"),
        ({**GAN, "train": {"holdout": 12}}, "--holdout and --patience must be left out"),
        ({**GAN, "train": {"lr": 0.1}}, "--lr and a scheduler of lr must be left out"),
        ({**GAN, "schedulers": {"lr": [{"name": "cosine"}]}}, "--lr and a scheduler of lr must be left out"),
    ],
)
def test_what_would_do_nothing_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trainer_of(**changes)


# Averaged weights.


def test_averages_are_those_of_the_formula_and_buffers_are_copied() -> None:
    module = nn.BatchNorm1d(3)
    averages = Averages(module, 0.9)
    expected = module.weight.detach().clone()
    for step in range(50):
        with torch.no_grad():
            module.weight.add_(1.0)
            module.running_mean.add_(1.0)
        averages.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(averages.tensors["weight"], expected)
    assert torch.equal(averages.tensors["running_mean"], module.running_mean)
    live = module.weight.detach().clone()
    with averages.swapped_in():
        torch.testing.assert_close(module.weight.detach(), expected)
    assert torch.equal(module.weight, live)


def test_averaged_weights_are_those_that_are_measured_and_loaded(tmp_path: Path) -> None:
    folder = trained(tmp_path, train={"ema": 0.99})
    checkpoint = find(folder.checkpoints)
    assert checkpoint is not None
    raw, averaged = read_tensors(checkpoint / "model.safetensors"), read_tensors(checkpoint / "averages.safetensors")
    assert any(not torch.equal(raw[name], averaged[name]) for name in raw)
    loaded = load_run(folder, host())
    state = loaded.experiment.model.state_dict()
    assert all(torch.equal(state[name], averaged[name]) for name in averaged)
    from genzoo.runs.export import export_run

    export_run(folder, tmp_path / "zoo")
    (exported,) = (tmp_path / "zoo" / "checkpoints").glob("*/model.safetensors")
    assert all(torch.equal(value, averaged[name]) for name, value in read_tensors(exported).items())


# Starting from a run.


def test_init_copies_what_fits_and_frozen_parts_stay(tmp_path: Path) -> None:
    first = trained(tmp_path / "a")
    init = init_from(str(first.path), ["decoder"])
    wanted = recipe(train={"seed": 3, "epochs": 1}).model_copy(update={"init": init})
    folder = start(plan(wanted, host()), host(), out=tmp_path / "b").folder
    one, two = (read_tensors(find(run.checkpoints) / "model.safetensors") for run in (first, folder))  # type: ignore[operator]
    assert all(torch.equal(one[name], two[name]) for name in one if name.startswith("decoder"))
    assert any(not torch.equal(one[name], two[name]) for name in one if name.startswith("encoder"))
    assert read_recipe(folder.config_file).init == init
    resume(folder, host(), changes={"epochs": 2})
    three = read_tensors(find(folder.checkpoints) / "model.safetensors")  # type: ignore[operator]
    assert all(torch.equal(one[name], three[name]) for name in one if name.startswith("decoder"))


def test_a_start_that_changed_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    first = trained(tmp_path / "a")
    init = init_from(str(first.path))
    gone = init.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CorruptError, match="are not those that the recipe starts from"):
        start(plan(recipe().model_copy(update={"init": gone}), host()), host(), out=tmp_path / "b")
    other = recipe(network={"name": "mlp", "options": {"hidden": [24]}})
    frozen = init.model_copy(update={"frozen": ("decoder",)})
    with pytest.raises(UsageError, match="must have weights for decoder"):
        start(plan(other.model_copy(update={"init": frozen}), host()), host(), out=tmp_path / "b")
    named = init.model_copy(update={"frozen": ("decodr",)})
    with pytest.raises(UsageError, match="--freeze must be one of"):
        start(plan(recipe().model_copy(update={"init": named}), host()), host(), out=tmp_path / "b")
    assert not list((tmp_path / "b").glob("*/*"))


def test_refit_fits_another_prior_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = trained(tmp_path)
    flags = ["--prior", "flow", "--prior.layers", "2", "--prior.width", "8", "--epochs", "2", "--out", str(tmp_path)]
    assert execute(["refit", str(first.path), *flags]) == 0
    (folder,) = (RunFolder(path.parent) for path in tmp_path.glob("*/*/run.json") if path.parent != first.path)
    one, two = (read_tensors(find(run.checkpoints) / "model.safetensors") for run in (first, folder))  # type: ignore[operator]
    body = [name for name in one if not name.startswith("prior")]
    assert body
    assert all(torch.equal(one[name], two[name]) for name in body)
    assert [row["epoch"] for row in folder.rows("epoch")] == [1, 2]
    # The last layers of a flow start at zero.
    assert all(value.abs().sum() > 0 for name, value in two.items() if name.endswith("body.4.weight"))
    assert folder.last_row()["test"]["distortion"] > 0  # type: ignore[index]
    assert "for prior" in capsys.readouterr().err
    assert execute(["refit", str(first.path), "--prior", "flow", "--model.latent-dim", "3"]) == 2
    assert execute(["refit", str(first.path), "--prior", "standard-normal", "--out", str(tmp_path)]) == 2


def test_incompatible_is_an_error_of_its_own() -> None:
    assert issubclass(IncompatibleError, GenzooError)


# Runs of genzoo 0.1.


@pytest.mark.parametrize(("name", "epochs"), [("vae", 3), ("vq-vae", 1)])
def test_a_run_of_0_1_that_was_interrupted_is_resumed(tmp_path: Path, name: str, epochs: int) -> None:
    shutil.copytree(OLD / name, tmp_path / name)
    folder = RunFolder(tmp_path / name)
    resume(folder, host())
    rows = folder.rows("epoch")
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    assert folder.record()["status"] == "finished"
    if name == "vq-vae":
        assert [row["prior_epoch"] for row in folder.rows("prior")] == [1, 2]
        assert len(folder.rows("fitted")) == 1


@pytest.mark.parametrize("changes", [{"loss": {"name": "iwae"}}, GAN, GECO], ids=["iwae", "gan", "geco"])
def test_a_default_schedule_that_drives_nothing_hinders_no_later_command(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = start(resolved(**{"schedulers": None, **changes}), host(), out=tmp_path).folder
    assert load_run(folder, host()).experiment.model.sample(1, torch.zeros(1, dtype=torch.int64)).shape == (1, 1, 8, 8)
    again = start(plan(read_recipe(folder.config_file), host()), host(), out=tmp_path / "again").folder
    assert again.record()["status"] == "finished"
    resume(folder, host(), changes={"epochs": 3})
    assert folder.rows("epoch")[-1]["epoch"] == 3
    with pytest.raises(UsageError, match="has a quantity 'beta'"):
        build(resolved(**{**changes, "schedulers": {"beta": [{"name": "linear-warmup"}]}}))
