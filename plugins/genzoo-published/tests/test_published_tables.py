"""The tables name recipes and numbers that exist, and judge runs by the bars that are stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genzoo.host.plugin_host import host
from genzoo.recipe import Part, Recipe, read_recipe
from genzoo.runs.folder import RunFolder
from genzoo.studies.table import Reproduction, RowSpec, compare, read_reproduction
from genzoo.training.start import start
from genzoo.types import Kind

MINE = [item for item in host().resources() if item.distribution == "genzoo-published"]
RECIPES = {item.name for item in MINE if item.kind == "recipe"}
TABLES = [item.name for item in MINE if item.kind == "reproduction"]

CODES = {"codebook-perplexity": 80.0, "usage": 0.9, "unigram": 4.3, "prior": 1.3}
MET: dict[str, dict[str, dict[str, Any]]] = {
    "likelihood-iwae": {"k5": {"nll": {"nll": 87.0}}, "k1": {"nll": {"nll": 87.9}}},
    "likelihood-vampprior": {"vampprior": {"nll": {"nll": 84.0}}, "normal": {"nll": {"nll": 85.1}}},
    "likelihood-ladder": {
        "two": {"nll": {"nll": 86.0}},
        "one": {"nll": {"nll": 86.1}},
        "control": {"nll": {"nll": 86.0}},
    },
    "codebook-vq-vae": {
        "vq-vae": {
            "codebook-perplexity": CODES,
            "reconstruction-mse": {"reconstruction-mse": 0.0043, "normalised": 0.0444},
        }
    },
}
"""Table → experiment → metric → numbers that meet every bar, some just so."""

SHORT: list[tuple[str, str, str, dict[str, Any]]] = [
    ("likelihood-iwae", "k5", "nll", {"nll": 87.2}),
    ("likelihood-iwae", "k1", "nll", {"nll": 86.0}),
    ("likelihood-vampprior", "normal", "nll", {"nll": 84.9}),
    ("likelihood-ladder", "two", "nll", {"nll": 86.2}),
    ("codebook-vq-vae", "vq-vae", "codebook-perplexity", {**CODES, "prior": 2.9}),
    ("codebook-vq-vae", "vq-vae", "reconstruction-mse", {"reconstruction-mse": 0.0044, "normalised": 0.0455}),
]


def table_of(name: str) -> Reproduction:
    return read_reproduction(host().resource("reproduction", name).path)


def made_up(folder: Path, metrics: dict[str, dict[str, Any]]) -> RunFolder:
    """A finished run with these numbers, and some for what has no bar."""
    folder.mkdir()
    units = {"active-units": 30.0, "level-1": 5.0, "level-2": 25.0}
    found = {key: {"values": values} for key, values in {"active-units": units, **metrics}.items()}
    (folder / "run.json").write_text(
        json.dumps({"schema": 1, "status": "finished", "metrics": found}), encoding="utf-8"
    )
    test = {"distortion": 70.0, "rate": 25.0, "rates": [3.0, 22.0], "elbo": -95.0}
    (folder / "metrics.jsonl").write_text(
        json.dumps({"kind": "epoch", "epoch": 60, "train": test, "test": test}) + "\n", encoding="utf-8"
    )
    return RunFolder(folder)


def verdicts(name: str, numbers: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    runs = {experiment: [made_up(folder / experiment, metrics)] for experiment, metrics in numbers.items()}
    return {result.spec.name: result.verdict for result in compare(table_of(name), runs)}


@pytest.mark.parametrize("name", TABLES)
def test_table_names_recipes_that_exist_and_states_its_protocol(name: str) -> None:
    table = table_of(name)
    assert table.paper
    assert len(table.protocol) > 100
    assert {experiment.recipe for experiment in table.experiments} <= RECIPES
    used = {row.experiment for row in table.rows} | {row.against for row in table.rows} - {None}
    assert used == {experiment.name for experiment in table.experiments}
    assert len({row.name for row in table.rows}) == len(table.rows)


def test_every_recipe_is_in_a_table() -> None:
    assert {experiment.recipe for name in TABLES for experiment in table_of(name).experiments} == RECIPES


def test_the_readme_names_every_recipe_and_table() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert {name for name in {*RECIPES, *TABLES} if f"`{name}`" not in readme} == set()


def test_every_bar_is_in_the_made_up_runs() -> None:
    def barred(row: RowSpec) -> bool:
        return row.at_most is not None or row.at_least is not None

    assert {name for name in TABLES if any(map(barred, table_of(name).rows))} == set(MET)


@pytest.mark.parametrize("name", MET)
def test_numbers_that_meet_the_bars_hold(name: str, tmp_path: Path) -> None:
    found = verdicts(name, MET[name], tmp_path)
    assert "holds" in found.values()
    assert "falls short" not in found.values()


@pytest.mark.parametrize(("name", "experiment", "metric", "numbers"), SHORT)
def test_numbers_that_do_not_fall_short(
    name: str, experiment: str, metric: str, numbers: dict[str, Any], tmp_path: Path
) -> None:
    all_numbers = {key: dict(value) for key, value in MET[name].items()}
    all_numbers[experiment][metric] = numbers
    assert list(verdicts(name, all_numbers, tmp_path).values()).count("falls short") == 1


def test_the_static_run_stands_beside_the_published_number_and_the_dynamic_one_has_no_bar(tmp_path: Path) -> None:
    numbers = {"static": {"nll": {"nll": 91.8}}, "dynamic": {"nll": {"nll": 89.2}}}
    table = table_of("likelihood-one-layer")
    runs = {name: [made_up(tmp_path / name, metrics)] for name, metrics in numbers.items()}
    results = {result.spec.name: result for result in compare(table, runs)}
    assert {row.name: row.published for row in table.rows if row.published} == {"nll, K = 200, static": 89.78}
    assert {result.verdict for result in results.values()} == {"reported"}
    assert results["dynamic is better than static by, nats"].values == (pytest.approx(2.6),)


@pytest.mark.parametrize("name", TABLES)
def test_both_sides_of_a_likelihood_comparison_have_the_same_images_k_and_seeds(name: str) -> None:
    table = table_of(name)
    specs = {experiment.name: experiment for experiment in table.experiments}
    for row in table.rows:
        if row.paired != "nll" or row.against is None:
            continue
        one, other = (
            read_recipe(host().resource("recipe", specs[side].recipe).path) for side in (row.experiment, row.against)
        )
        assert one.metrics["nll"] == other.metrics["nll"]
        assert specs[row.experiment].seeds == specs[row.against].seeds


def test_a_rise_of_a_score_is_positive(tmp_path: Path) -> None:
    keys = ("beta-vae-score", "factor-vae-score", "mig")
    more: dict[str, dict[str, Any]] = {
        "dci": {"disentanglement": 0.1, "completeness": 0.1},
        "sap": {"squared_correlation": 0.1, "linear_svm": 0.1},
    }
    runs = {
        f"beta-{beta}": [
            made_up(tmp_path / f"{beta}-{seed}", {**more, **{key: {key: beta / 20 + seed / 100} for key in keys}})
            for seed in (0, 1)
        ]
        for beta in (1, 4, 16)
    }
    results = {result.spec.name: result for result in compare(table_of("disentanglement-beta"), runs)}
    assert results["MIG, rise from β = 1 to 16"].values == pytest.approx((0.75, 0.75))
    assert results["MIG, β = 4"].mean == pytest.approx(0.205)
    assert {result.verdict for result in results.values()} == {"reported"}


def tiny(recipe: Recipe) -> Recipe:
    """The recipe at the size of a test, with every metric that it asks for."""

    def small(kind: Kind, part: Part | None) -> Part | None:
        if part is None:
            return None
        options = host().get(kind, part.name).options_class()
        sizes: dict[str, Any] = {key: value for key, value in options.tiny.items() if key != "latent_dims"}
        return Part(name=part.name, options={**part.options, **sizes})

    return recipe.model_copy(
        update={
            "dataset": small(Kind.DATASET, recipe.dataset),
            "network": small(Kind.NETWORK, recipe.network),
            "prior": small(Kind.PRIOR, recipe.prior),
            "metrics": {key: small(Kind.METRIC, part) for key, part in recipe.metrics.items()},
            "train": {**recipe.train, "epochs": 1, "limit": 64, "batch_size": 32, "device": "cpu", "precision": "fp32"},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_row_finds_its_number_in_a_run(name: str, tmp_path: Path) -> None:
    from genzoo.compose.plan import plan

    table = table_of(name)
    runs: dict[str, list[RunFolder]] = {}
    for experiment in table.experiments:
        recipe = tiny(read_recipe(host().resource("recipe", experiment.recipe).path))
        outcome = start(plan(recipe, host()), host(), out=tmp_path, name=experiment.name)
        assert outcome.exit_code == 0, outcome.metrics
        runs[experiment.name] = [outcome.folder]
    assert len(compare(table, runs)) == len(table.rows)
