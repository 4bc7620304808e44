"""A warm-up and a fitted prior take a third of the run's epochs, unless told otherwise; the run keeps what that came to."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from genzoo.cli import execute
from genzoo.compose.plan import plan
from genzoo.errors import PluginError
from genzoo.host.plugin_host import host
from genzoo.options import Options
from genzoo.recipe import Part, Recipe, read_recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder

TINY = (
    "--data digits --network mlp --network.hidden 8 --limit 32 --batch-size 16 --device cpu --precision fp32 "
    "--viz-every 0"
)


def warm_up(recipe: Recipe) -> Any:
    (choice,) = plan(recipe, host()).schedulers["beta"]
    return choice.options.model_dump()["epochs"]


@pytest.mark.parametrize(("epochs", "length"), [(30, 10), (9, 3), (2, 2 / 3), (1, 1 / 3)])
@pytest.mark.parametrize("name", ["linear-warmup", "sigmoid"])
def test_a_warm_up_is_a_third_of_the_run(epochs: int, length: float, name: str) -> None:
    recipe = Recipe(model=Part(name="vae"), schedulers={"beta": [Part(name=name)]}, train={"epochs": epochs})
    assert warm_up(recipe) == pytest.approx(length)


def test_a_length_that_is_given_stays() -> None:
    named = {"beta": [Part(name="linear-warmup", options={"epochs": 10})]}
    assert warm_up(Recipe(model=Part(name="vae"), schedulers=named, train={"epochs": 2})) == 10


def test_a_run_of_so_many_steps_is_left_to_the_scheduler() -> None:
    assert warm_up(Recipe(model=Part(name="vae"), train={"epochs": 30, "steps": 5})) is None


def test_a_short_run_does_not_warn_and_ends_at_the_whole_beta(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(shlex.split(f"run vae --epochs 2 {TINY} --out {tmp_path}")) == 0
    assert "Warning" not in capsys.readouterr().err
    (run,) = all_runs(tmp_path)
    assert run.rows("epoch")[-1]["quantities"]["beta"] == 1


def test_a_run_that_is_resumed_with_more_epochs_keeps_its_past(tmp_path: Path) -> None:
    assert execute(shlex.split(f"run vae --epochs 6 {TINY} --out {tmp_path}")) == 0
    (run,) = all_runs(tmp_path)
    betas = [row["quantities"]["beta"] for row in run.rows("epoch")]
    assert betas == [0.5, 1, 1, 1, 1, 1]
    assert execute(["run", "--resume", str(run.path), "--epochs", "12"]) == 0
    assert [row["quantities"]["beta"] for row in run.rows("epoch")] == [*betas, *[1] * 6]
    config = tomllib.loads(run.config_file.read_text(encoding="utf-8"))
    assert config["schedulers"]["beta"][0]["options"]["epochs"] == 2
    assert config["train"]["epochs"] == 12


def test_a_repeated_run_takes_the_length_from_the_config(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nname = "vae"\n[train]\nepochs = 6\n', encoding="utf-8")
    assert execute(shlex.split(f"run --recipe {recipe} {TINY} --out {tmp_path / 'runs'}")) == 0
    (run,) = all_runs(tmp_path / "runs")
    repeated = tmp_path / "again"
    assert execute(shlex.split(f"run --recipe {run.config_file} --epochs 12 --out {repeated}")) == 0
    (again,) = all_runs(repeated)
    assert again.rows("epoch")[0]["quantities"]["beta"] == 0.5


def prior_rows(run: RunFolder) -> list[dict[str, Any]]:
    return run.rows("prior")


def test_a_fitted_prior_takes_a_third_and_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--prior autoregressive --prior.width 8 --prior.layers 2"
    assert execute(shlex.split(f"run vq-vae {options} --epochs 6 {TINY} --out {tmp_path}")) == 0
    assert "Two stages: 6 epochs of training, then 2 that fit the prior." in capsys.readouterr().err
    (run,) = all_runs(tmp_path)
    assert len(prior_rows(run)) == 2
    prior = read_recipe(run.config_file).prior
    assert prior is not None
    assert prior.options["epochs"] == 2


def test_a_prior_that_says_nothing_of_epochs_takes_a_third_too(tmp_path: Path) -> None:
    assert execute(shlex.split(f"run vae --prior flow --fit-prior after --epochs 6 {TINY} --out {tmp_path}")) == 0
    (run,) = all_runs(tmp_path)
    assert len(prior_rows(run)) == 2


def test_a_plugin_whose_resolution_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Options, epochs: int) -> Options:
        raise ZeroDivisionError("oops")

    installed = host().get("scheduler", "linear-warmup")
    monkeypatch.setattr(installed.options_class(), "for_run", broken)
    with pytest.raises(PluginError, match=r"scheduler linear-warmup .*30 epochs raised ZeroDivisionError: oops"):
        plan(Recipe(model=Part(name="vae")), host())
