"""The rules of stages and players, each with a test that fails where the rule is broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from genzoo.cli import cli
from genzoo.compose.build import build
from genzoo.engine.checkpoint import find
from genzoo.engine.fitting import can_be_kept
from genzoo.engine.listener import Listener
from genzoo.engine.optimizer import GuardedStep
from genzoo.engine.signals import Signals
from genzoo.engine.tensor_files import read_tensors
from genzoo.errors import DivergedError, IncompatibleError, UsageError
from genzoo.host.plugin_host import host
from genzoo.randomness import derive
from genzoo.runs.load import load_run
from genzoo.training.console import ConsoleListener
from genzoo.training.start import start

from .conftest import resolved
from .test_exactness import FACTOR_VAE, GAN, PIXELS, REFITTED, VQ
from .test_stages import trained, trainer_of

AFTER = {"prior": REFITTED["prior"], "schedulers": {"lr": [{"name": "cosine"}]}}
"""A flow that is fitted after its VAE, at a rate that falls, with ``train={"fit_prior": "after"}``."""


class Rows(Listener):
    """Keeps the rows of all stages."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def epoch(self, row: dict[str, Any], stage: object) -> None:
        self.kept.append(row)


def kind_of(kind: str, name: str) -> Any:
    return host().get(kind, name).load()  # type: ignore[arg-type]


def watched(
    monkeypatch: pytest.MonkeyPatch, objective: type, see: Callable[[str, Any], None], *, every: int = 1
) -> None:
    """Let ``see(player, terms)`` look at each step, and the second player take part in every ``every``-th."""
    genuine_step, genuine_players = objective.step, objective.players

    def step(self: Any, model: Any, batch: Any, context: Any, player: str) -> Any:
        terms = genuine_step(self, model, batch, context, player)
        see(player, terms)
        return terms

    def players(self: Any, model: Any) -> Any:
        first, *rest = genuine_players(self, model)
        return first, *(replace(player, every=every) for player in rest)

    monkeypatch.setattr(objective, "step", step)
    monkeypatch.setattr(objective, "players", players)


# Players.


def test_a_player_without_parameters_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kind_of("loss", "factor-vae")
    genuine = kind.players

    def players(self: Any, model: Any) -> Any:
        first, critic = genuine(self, model)
        return first, replace(critic, parameters=[p.requires_grad_(False) for p in critic.parameters])

    monkeypatch.setattr(kind, "players", players)
    with pytest.raises(UsageError, match="player critic must have parameters to train"):
        trainer_of(**FACTOR_VAE)


def test_the_first_player_keeps_the_runs_noise_and_the_second_derives_its_own_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, int]] = []
    kind = kind_of("loss", "factor-vae")
    genuine = kind.step

    def step(self: Any, model: Any, batch: Any, context: Any, player: str) -> Any:
        seen.append((player, torch.initial_seed()))
        return genuine(self, model, batch, context, player)

    monkeypatch.setattr(kind, "step", step)
    trainer_of(**FACTOR_VAE, train={"epochs": 1, "seed": 5}).fit(Signals())
    expected = []
    for number in range(4):
        expected += [("model", derive(5, "step", number)), ("critic", derive(5, "step", number, "critic"))]
    assert seen == expected


def test_totals_are_kept_for_each_player_over_the_turns_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, list[float]] = {"model": [], "critic": []}
    watched(
        monkeypatch,
        kind_of("loss", "factor-vae"),
        lambda player, terms: values[player].append(float(terms.objective.detach())),
        every=3,
    )
    rows = Rows()
    trainer_of(rows, **FACTOR_VAE, train={"epochs": 1}).fit(Signals())
    images = [16, 16, 16, 12]  # of the 60 in each step
    assert [len(each) for each in values.values()] == [4, 2]
    model = sum(value * count for value, count in zip(values["model"], images, strict=True)) / 60
    critic = (values["critic"][0] * images[0] + values["critic"][1] * images[3]) / (images[0] + images[3])
    found = rows.kept[0]["train"]["players"]
    assert found["model"]["objective"] == pytest.approx(model, rel=1e-6)
    assert found["critic"]["objective"] == pytest.approx(critic, rel=1e-6)


@pytest.mark.parametrize("changes", [GAN, FACTOR_VAE], ids=["gan", "factor-vae"])
def test_networks_of_all_players_run_in_bfloat16_and_the_objective_in_float32(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    objectives: list[Any] = []
    trainer = trainer_of(**changes, train={"epochs": 1, "precision": "bf16"})
    watched(monkeypatch, type(trainer.loss), lambda player, terms: objectives.append(terms.objective.dtype))
    layers: dict[str, Any] = {}
    for name, module in [*trainer.model.named_modules(), *trainer.loss.named_modules()]:
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(
                lambda module, given, out, name=name: layers.setdefault(name, out.dtype) and None
            )
    with trainer.settings.fast_arithmetic():
        trainer.first.train_epoch(Signals())
    assert layers
    assert set(layers.values()) == {torch.bfloat16}
    assert set(objectives) == {torch.float32}


@pytest.mark.parametrize("player", ["model", "critic"])
def test_a_player_that_diverges_is_named_by_its_step(monkeypatch: pytest.MonkeyPatch, player: str) -> None:
    kind, calls = kind_of("loss", "factor-vae"), dict.fromkeys(("model", "critic"), 0)
    genuine = kind.step

    def step(self: Any, model: Any, batch: Any, context: Any, who: str) -> Any:
        calls[who] += 1
        terms = genuine(self, model, batch, context, who)
        bad = torch.inf if (who, calls[who]) == (player, 3) else 1.0
        return replace(terms, objective=terms.objective * bad)

    monkeypatch.setattr(kind, "step", step)
    with pytest.raises(DivergedError, match=r"became NaN or infinite at step 2 \(epoch 1\)"):
        trainer_of(**FACTOR_VAE, train={"epochs": 1}).fit(Signals())


# Stages.


def test_the_first_lines_say_how_many_stages_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {**AFTER, "train": {"fit_prior": "after", "epochs": 1, "steps": 1}}
    start(resolved(**changes), host(), out=tmp_path / "two", listener=ConsoleListener())
    assert "Two stages: 1 epochs of training, then 1 that fit the prior." in capsys.readouterr().err
    start(resolved(train={"epochs": 1, "steps": 1}), host(), out=tmp_path / "one", listener=ConsoleListener())
    assert "Two stages" not in capsys.readouterr().err


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_second_stage_starts_from_the_best_weights(tmp_path: Path, ema: float | None) -> None:
    train = {
        "holdout": 12,
        "fit_prior": "after",
        "lr": 0.05,
        "epochs": 6,
        "ema": ema,
        "keep": 20,
        "checkpoint_every": 1,
    }
    changes = {"prior": {"name": "flow", "options": {"layers": 2, "width": 8}}, "schedulers": None, "train": train}
    folder = trained(tmp_path, **changes)
    best = max(folder.rows("epoch"), key=lambda row: row["holdout"]["elbo"])
    last = find(folder.checkpoints)
    assert best["epoch"] < 6, "the last epoch is the best one, so that this says nothing"
    assert last is not None
    chosen = read_tensors(folder.checkpoints / f"step-{best['step']}" / f"{'averages' if ema else 'model'}.safetensors")
    ended = read_tensors(last / "model.safetensors")
    body = [name for name in chosen if not name.startswith("prior")]
    assert all(torch.equal(chosen[name], ended[name]) for name in body)
    assert any(not torch.equal(chosen[name], ended[name]) for name in set(chosen) - set(body))


def test_the_priors_stage_obeys_lr_and_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[tuple[int, float]] = []
    genuine = GuardedStep.__call__

    def called(self: GuardedStep, *given: Any) -> Any:
        rates.append((len(self._parameters), self.optimizer.param_groups[0]["lr"]))
        return genuine(self, *given)

    monkeypatch.setattr(GuardedStep, "__call__", called)
    trainer = trainer_of(**AFTER, train={"fit_prior": "after", "lr": 0.02, "epochs": 9})
    trainer.fit(Signals())
    fitted = len(list(trainer.model.prior.parameters()))
    second = [rate for count, rate in rates if count == fitted]
    steps = 4 * trainer.fit_epochs
    assert len(second) == steps
    assert second[0] == pytest.approx(0.02, rel=0.05)
    assert second == sorted(second, reverse=True)
    assert second[steps // 2] == pytest.approx(0.01, rel=0.1), "half-way down the cosine of its own stage"


def test_the_priors_stage_clips_gradients() -> None:
    train = {"fit_prior": "after", "lr": 1.0, "optimizer": "sgd", "clip_grad": 1e-6, "epochs": 1}
    trainer = trainer_of(**{**AFTER, "schedulers": None}, train=train)
    before = [p.detach().clone() for p in trainer.model.prior.parameters()]
    trainer.fit(Signals())
    after = [p.detach() for p in trainer.model.prior.parameters()]
    moved = math.sqrt(sum(float((new - old).square().sum()) for new, old in zip(after, before, strict=True)))
    assert 0 < moved < 1.01e-6 * 4 * trainer.fit_epochs


def test_the_priors_stage_ends_when_patience_runs_out(tmp_path: Path) -> None:
    train = {"fit_prior": "after", "holdout": 12, "patience": 1, "lr": 0.3, "epochs": 30}
    rows = trained(tmp_path, **{**AFTER, "schedulers": None}, train=train).rows("prior")
    best = min(rows, key=lambda row: row["holdout"]["nll"])
    assert len(rows) < 10
    assert rows[-1]["prior_epoch"] - best["prior_epoch"] == 1


def test_latents_are_drawn_again_at_each_step_of_the_priors_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    kind = kind_of("prior", "flow")
    genuine = kind.fit_loss
    monkeypatch.setattr(
        kind, "fit_loss", lambda self, z, label=None: seen.append(z.detach().clone()) or genuine(self, z, label)
    )
    trainer = trainer_of(**AFTER, train={"fit_prior": "after", "epochs": 6, "limit": 8, "batch_size": 8})
    trainer.fit(Signals())
    fitted = [z.sort(0).values for z in seen if len(z) == 8]
    assert len(fitted) >= 2
    assert all(not torch.equal(one, other) for one, other in pairwise(fitted))


def test_only_deterministic_codes_of_images_that_nothing_changes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[bool] = []
    trainer = trainer_of(**VQ, dataset={"name": "digits"}, train={"epochs": 1})
    genuine = trainer.model.encode
    trainer.model.encode = lambda *given, **more: encoded.append(trainer.second is not None) or genuine(*given, **more)
    dataset = trainer.experiment.dataset
    assert can_be_kept(trainer.model, dataset)
    trainer.fit(Signals())
    assert encoded.count(True) == 1, "the second stage encodes no image again, except to measure the fitted prior"
    for options in ({"shift": 1}, {"flip": True}, {"binarize": "dynamic"}):
        changed = build(resolved(**VQ, dataset={"name": "digits", "options": options})).dataset
        assert not can_be_kept(trainer.model, changed)
    monkeypatch.setattr(type(dataset), "transform", lambda self, image, *, training: image)
    assert not can_be_kept(trainer.model, dataset), "a transform of its own may do anything"
    assert not can_be_kept(trainer_of().model, trainer_of().experiment.dataset), "a normal posterior is drawn from"


def test_beta_has_nothing_to_do_where_the_prior_is_the_model() -> None:
    def fitted(**more: Any) -> dict[str, Tensor]:
        trainer = trainer_of(**{**PIXELS, **more}, train={"epochs": 1, "limit": 16})
        trainer.fit(Signals())
        return trainer.model.state_dict()

    plain, scheduled = fitted(), fitted(loss={"name": "elbo", "options": {"beta": 7.0}})
    assert all(torch.equal(plain[name], scheduled[name]) for name in plain)


# What fits what.


@pytest.mark.parametrize("density", ["bound", "estimate", "none"])
def test_a_density_that_is_not_exact_enters_no_importance_weights(
    monkeypatch: pytest.MonkeyPatch, density: str
) -> None:
    said = {"bound": "a bound", "estimate": "an estimate", "none": "not known"}[density]
    monkeypatch.setattr(kind_of("prior", "standard-normal"), "density", density)
    for changes in ({"loss": {"name": "iwae"}}, {"metrics": {"nll": {"name": "nll"}}}):
        with pytest.raises(IncompatibleError, match=f"importance weights; that of the prior standard-normal is {said}"):
            build(resolved(**changes))


@pytest.mark.parametrize(("density", "measured"), [("exact", 1), ("bound", 1), ("estimate", 0), ("none", 0)])
def test_a_fitted_prior_is_measured_where_it_has_a_density_or_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, density: str, measured: int
) -> None:
    monkeypatch.setattr(kind_of("prior", "flow"), "density", density)
    folder = trained(tmp_path, **AFTER, train={"fit_prior": "after", "epochs": 1, "limit": 16})
    rows = folder.rows("fitted")
    assert len(rows) == measured
    assert all(row["density"] == density for row in rows)


@pytest.mark.parametrize(
    ("density", "said"), [("exact", "fitted prior: "), ("bound", "prior (by a bound on its density): ")]
)
def test_a_number_that_is_a_bound_is_printed_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, density: str, said: str
) -> None:
    monkeypatch.setattr(kind_of("prior", "flow"), "density", density)
    folder = trained(tmp_path, **AFTER, train={"fit_prior": "after", "epochs": 1, "limit": 16})
    shown = CliRunner().invoke(cli, ["runs", "show", str(folder.path)])
    assert said in " ".join(shown.output.split())


def test_an_importance_weighted_bound_takes_pixels_whose_posterior_is_uniform_or_a_point() -> None:
    for prior in ({"name": "flow"}, {"name": "autoregressive", "options": {"width": 8, "layers": 1}}):
        changes = {"model": {"name": "pixels"}, "network": None, "prior": prior, "schedulers": None}
        assert build(resolved(**changes, metrics={"nll": {"name": "nll"}})).metrics
    with pytest.raises(IncompatibleError, match="deterministic"):
        build(resolved(**VQ, metrics={"nll": {"name": "nll"}}))


def test_the_best_checkpoint_of_an_objective_without_a_headline_is_refused(tmp_path: Path) -> None:
    folder = trained(tmp_path, **GAN, train={"epochs": 1})
    with pytest.raises(UsageError, match="its objective has no number that tells a better epoch"):
        load_run(folder, host(), best=True)


def test_a_third_partys_capability_is_asked_for_and_had_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    word = "acme-models:rotates"
    monkeypatch.setattr(kind_of("visualizer", "samples"), "requires", frozenset({word}))
    changes = {"visualizers": {"s": {"name": "samples"}}}
    with pytest.raises(IncompatibleError, match=f"needs a model that is {word}"):
        build(resolved(**changes))
    kind = kind_of("model", "vae")
    monkeypatch.setattr(kind, "capabilities", kind.capabilities | {word})
    assert build(resolved(**changes)).visualizers


def test_a_model_may_override_posterior_by_its_public_or_its_older_name() -> None:
    from genzoo.interfaces import Model

    vae = build(resolved()).model
    image = torch.rand(3, 1, 8, 8)
    assert type(vae)._posterior_of is not Model._posterior_of
    assert torch.equal(vae.posterior(image).mean, vae._posterior_of(image).mean)
    pixels = build(resolved(**PIXELS)).model
    assert type(pixels).posterior is not Model.posterior
    assert torch.equal(pixels._posterior_of(image).mean, pixels.posterior(image).mean)
    grey = (image * 16).round() / 16
    assert torch.equal(pixels.posterior(grey).mean, pixels.posterior(grey + 0.01).mean)


# Weights that are shown, and networks.


def test_figures_and_metrics_see_the_averaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[dict[str, Tensor]]] = {"draw": [], "evaluate": []}
    for kind, name, method in (("visualizer", "samples", "draw"), ("metric", "elbo", "evaluate")):
        cls = kind_of(kind, name)
        genuine = getattr(cls, method)

        def noting(self: Any, run: Any, genuine: Any = genuine, method: str = method) -> Any:
            seen[method].append({key: value.clone() for key, value in run.model.state_dict().items()})
            return genuine(self, run)

        monkeypatch.setattr(cls, method, noting)
    parts = {"visualizers": {"s": {"name": "samples"}}, "metrics": {"e": {"name": "elbo"}}}
    folder = trained(tmp_path, **parts, train={"ema": 0.99})
    checkpoint = find(folder.checkpoints)
    assert checkpoint is not None
    live, averaged = (read_tensors(checkpoint / f"{name}.safetensors") for name in ("model", "averages"))
    assert any(not torch.equal(live[name], averaged[name]) for name in averaged)
    for shown in (seen["draw"][-1], seen["evaluate"][-1]):
        assert all(torch.equal(shown[name], averaged[name]) for name in averaged)


def test_the_body_and_the_field_are_networks_of_their_own() -> None:
    body, field = {"name": "mlp", "options": {"hidden": [16]}}, {"name": "mlp", "options": {"hidden": [11, 7]}}
    prior = {"name": "flow-matching", "options": {"steps": 2}}
    model = build(resolved(network=body, prior=prior, field=field)).model

    def widths(module: torch.nn.Module) -> list[int]:
        return [layer.out_features for layer in module.modules() if isinstance(layer, torch.nn.Linear)][:-1]

    assert widths(model.encoder) == [16]
    assert widths(model.prior.field)[:2] == [11, 7]
