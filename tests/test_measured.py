"""The numbers of the pages are those of results/, and results/ is of the recipes as they are."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe
from genzoo.studies.results import FACTS, RECIPES, read_results, repeats, to_csv

ROOT = Path(__file__).parent.parent
TABLES = sorted((ROOT / "results").glob("*.csv"))
ROWS = [row for table in TABLES for row in read_results(table)]
NAMES = sorted({row["recipe"] for row in ROWS})


def load_measured() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_measured", ROOT / "docs/measured.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


measured = load_measured()


# The pages


@pytest.mark.parametrize("page", measured.pages(), ids=lambda page: page.name)
def test_a_page_says_what_results_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert measured.rendered(text, measured.read()) == text, "run `python docs/measured.py`"


def test_the_pages_of_results_take_their_numbers_from_there() -> None:
    assert {"README.md", "results.md"} <= {page.name for page in measured.pages()}


def published() -> set[str]:
    """Every published number of an installed reproduction, which stays as it is."""
    tables = [tomllib.loads(item.path.read_text(encoding="utf-8")) for item in host().resources("reproduction")]
    return {f"{row['published']:.2f}" for table in tables for row in table["rows"] if "published" in row}


@pytest.mark.parametrize("page", measured.pages(), ids=lambda page: page.name)
def test_a_measured_total_stands_in_no_other_place_by_hand(page: Path) -> None:
    # A number of two decimals that some row has, outside a block, would be stale once the row changes.
    outside = measured.BLOCK.sub("", page.read_text(encoding="utf-8"))
    numbers = set(re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", outside))
    totals = {f"{abs(float(row['test.elbo'])):.2f}" for row in ROWS if row.get("test.elbo")}
    assert not numbers & totals - published()


@pytest.mark.parametrize("resource", host().resources("recipe"), ids=lambda item: item.name)
def test_the_summary_of_a_recipe_names_its_own_epochs(resource: object) -> None:
    path, told = resource.path, [resource.resource.summary, read_recipe(resource.path).summary]  # type: ignore[attr-defined]
    for epochs in re.findall(r"\b(?:in|for) (\d+) epochs", " ".join(told)):
        assert int(epochs) == read_recipe(path).train_options().epochs


@pytest.mark.parametrize("resource", host().resources("run"), ids=lambda item: item.name)
def test_the_summary_of_a_shipped_run_has_its_own_numbers(resource: object) -> None:
    summary: str = resource.resource.summary  # type: ignore[attr-defined]
    (row,) = [row for row in ROWS if row["recipe"] == resource.name and row["seed"] == "0"]  # type: ignore[attr-defined]
    for name, number in re.findall(r"\b(distortion|rate) ([\d.]+\d)", summary):
        assert f"{float(row[f'test.{name}']):.2f}" == number
    for epochs in re.findall(r"(\d+) epochs", summary):
        assert epochs == row["epochs"]


# results/


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_as_the_command_writes_it(table: Path) -> None:
    rows = read_results(table)
    assert to_csv(rows) == table.read_text(encoding="utf-8")
    assert len({(row["recipe"], row["seed"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["recipe"], row["source"]
        numbers = [cell for column, cell in row.items() if column not in FACTS and cell]
        assert numbers, f"{row['recipe']}, seed {row['seed']}, has no number"
        assert all(re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?", cell) for cell in numbers)
        assert re.fullmatch(r"[0-9a-f]{64}|", row["weights_sha256"])


def test_a_recipe_has_rows_in_one_table_only() -> None:
    for name in NAMES:
        assert len([table for table in TABLES if name in {row["recipe"] for row in read_results(table)}]) == 1, name


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_of_the_recipe_as_it_is(name: str) -> None:
    kept = read_recipe(ROOT / "results" / RECIPES / f"{name}.toml")
    installed = {item.name: item for item in host().resources("recipe")}
    if name in installed:
        assert repeats(read_recipe(installed[name].path), kept, host()), f"{name} changed: its rows are stale"
    for row in ROWS:
        if row["recipe"] == name and row["epochs"]:
            assert int(row["epochs"]) <= kept.train_options().epochs


def test_every_recipe_beside_the_tables_has_rows() -> None:
    assert {path.stem for path in (ROOT / "results" / RECIPES).glob("*.toml")} == set(NAMES)


def test_the_readme_explains_every_column() -> None:
    page = (ROOT / "results/README.md").read_text(encoding="utf-8")
    assert not [column for column in FACTS if f"`{column}`" not in page]
    assert not [table.name for table in TABLES if f"`{table.name}`" not in page]


def test_shipped_weights_are_those_of_the_row() -> None:
    for item in host().resources("run"):
        (row,) = [row for row in ROWS if row["recipe"] == item.name and row["seed"] == "0"]
        (manifest,) = item.path.glob("checkpoints/step-*/manifest.json")
        assert row["weights_sha256"] in manifest.read_text(encoding="utf-8")


# The syntax

TABLE = [
    {
        "recipe": "a",
        "seed": "0",
        "epochs": "30",
        "processor": "x 2.5 GHz",
        "test.elbo": "-143.9",
        "test.rate@1": "1.25",
    },
    {"recipe": "a", "seed": "1", "epochs": "30", "processor": "x 2.5 GHz", "test.elbo": "-144.1", "test.rate@1": ""},
    {"recipe": "b-2", "seed": "0", "epochs": "12", "processor": "", "test.elbo": "-100", "test.rate@1": "9e-07"},
]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("a/0 test.elbo", "−143.90"),
        ("a test.elbo", "−144.00 ± 0.14"),
        ("a/0 -test.elbo", "143.90"),
        ("a -test.elbo", "144.00 ± 0.14"),
        ("a -test.elbo | .1f", "144.0 ± 0.1"),
        ("a epochs", "30"),
        ("a processor", "x 2.5 GHz"),
        ("a/0 test.rate@1", "1.25"),
        ("b-2 test.rate@1 | .0e", "9e-07"),
        ("b-2/0 test.rate@1", "0.00"),
        ("sd a test.elbo | .3f", "0.141"),
        ("min a -test.elbo", "143.90"),
        ("count a test.elbo | .0f", "2"),
        ("144.59 - a -test.elbo", "0.59"),
        ("a/1 -test.elbo - a/0 -test.elbo", "0.20"),
        ("100 - 100 * b-2 test.elbo / a test.elbo | .1f", "30.6"),
        ("(a test.elbo + 144) * 1", "0.00"),
    ],
)
def test_an_expression_is_written(expression: str, text: str) -> None:
    assert measured.evaluate(expression, TABLE).replace("−0.00", "0.00") == text


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("c test.elbo", "no row of c"),
        ("a/7 test.elbo", "no row of a, seed 7"),
        ("a test.rate", "does not know test.rate of a, seed 0"),
        ("a test.rate@1", "does not know test.rate@1 of a, seed 1"),
        ("b-2 processor", "does not know processor of b-2"),
        ("a processor + 1", "could not convert"),
        ("sd b-2 test.elbo", "at least two"),
        ("a/0 test.elbo / 0", "division"),
        ("a/0 test.elbo +", "invalid syntax"),
        ("__import__('os')", "neither a recipe"),
        ("", "invalid syntax|neither a recipe"),
        ("a/0 test.elbo | .2q", "format"),
    ],
)
def test_an_expression_that_cannot_be_written_is_refused(expression: str, why: str) -> None:
    with pytest.raises(measured.MeasuredError, match=why):
        measured.evaluate(expression, TABLE)


PAGE = (
    "before\n\n<!-- results\n| a | {{ a/0 -test.elbo }} |\n-->\n| a | 143.90 |\n<!-- /results -->\nafter {{ a/9 x }}\n"
)


def test_only_blocks_are_written_and_twice_is_once() -> None:
    assert measured.rendered(PAGE, TABLE) == PAGE
    assert measured.rendered(PAGE.replace("| a | 143.90 |\n", ""), TABLE) == PAGE


@pytest.mark.parametrize(
    ("old", "new"), [("143.90 |\n<", "143.91 |\n<"), ("| a | 143", "| b | 143"), ("| a | {{", "| a, seed 0 | {{")]
)
def test_a_stale_number_or_word_is_found(old: str, new: str) -> None:
    stale = PAGE.replace(old, new)
    assert stale != PAGE
    assert measured.rendered(stale, TABLE) != stale


def test_another_number_in_the_table_makes_a_page_stale() -> None:
    changed = [{**TABLE[0], "test.elbo": "-143.8"}, *TABLE[1:]]
    assert "143.80" in measured.rendered(PAGE, changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<!-- /results -->", ""),
        ("<!-- /results -->", "<!-- /result -->"),
        ("-->\n| a", "\n| a"),
        ("<!-- results\n", "<!-- results: x\n"),
        ("<!-- results\n", " <!-- results\n"),
        ("{{ a/0 -test.elbo }}", "143.90"),
    ],
)
def test_a_block_that_is_damaged_is_refused(old: str, new: str) -> None:
    with pytest.raises(measured.MeasuredError):
        measured.rendered(PAGE.replace(old, new, 1), TABLE)


def test_the_check_of_the_command_fails_on_a_stale_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("143.90 |\n<", "1.00 |\n<"), encoding="utf-8")
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    monkeypatch.setattr(measured, "read", lambda: TABLE)
    with pytest.raises(SystemExit, match=r"page\.md: not what results/ says"):
        measured.main(check=True)
    measured.main(check=False)
    assert page.read_text(encoding="utf-8") == PAGE
    measured.main(check=True)


def test_toml_beside_the_tables_is_whole() -> None:
    for path in (ROOT / "results" / RECIPES).glob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["train"]["seed"] >= 0
