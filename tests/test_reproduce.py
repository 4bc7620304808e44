"""A published table beside what is measured: rows, verdicts, and runs that are used again or resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genzoo.cli import execute
from genzoo.engine.signals import Signals
from genzoo.errors import UsageError
from genzoo.host.plugin_host import Host
from genzoo.recipe import read_recipe
from genzoo.runs.find import all_runs
from genzoo.studies.reproduce import read_reproduction

RECIPE = """
[model]
name = "{model}"
[dataset]
name = "digits"
[network]
name = "mlp"
options = {{ hidden = [8] }}
[train]
epochs = 2
limit = 16
batch_size = 8
device = "cpu"
precision = "fp32"
"""
TABLE = """
summary = "A tiny table"
protocol = "Sixteen digits"
[[experiments]]
name = "vae"
recipe = "tiny-vae"
seeds = [0, 1]
[[experiments]]
name = "cvae"
recipe = "tiny-cvae"
[[rows]]
name = "VAE total"
experiment = "vae"
value = "test.total"
published = 50.0
at_most = 1000.0
[[rows]]
name = "VAE elbo"
experiment = "vae"
value = "test.elbo"
at_least = {bar}
[[rows]]
name = "epochs to 1000"
experiment = "vae"
value = "epochs_until.total"
threshold = 1000
at_most = 1
[[rows]]
name = "epochs to 0"
experiment = "vae"
value = "epochs_until.total"
threshold = 0
[[rows]]
name = "gain in percent"
experiment = "cvae"
against = "vae"
value = "train.distortion"
plus = 0.0
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a table the reproduction ``tiny``, as a plugin that ships it would."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for model in ("vae", "cvae"):
        (folder / f"tiny-{model}.toml").write_text(RECIPE.format(model=model), encoding="utf-8")
    monkeypatch.setattr(Host, "resource", lambda self, kind, name: SimpleNamespace(path=folder / f"{name}.toml"))

    def make(text: str) -> None:
        (folder / "tiny.toml").write_text(text, encoding="utf-8")

    return make


def reproduce(out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, rows by name, and what was said on stderr."""
    code = execute(["reproduce", "tiny", "--out", str(out), "--json", *more])
    said = capsys.readouterr()
    assert said.out, said.err
    return code, {row["name"]: row for row in json.loads(said.out)["rows"]}, said.err


def test_rows_verdicts_and_the_use_of_finished_runs(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    ship(TABLE.format(bar=-1000.0))
    out = tmp_path / "runs"
    code, rows, _ = reproduce(out, capsys)
    assert code == 0
    vae = [run for run in all_runs(out) if "vae-seed" in run.path.name and run.path.parent.name == "vae"]
    cvae = [run for run in all_runs(out) if run.path.parent.name == "cvae"]
    assert [run.record()["seed"] for run in vae] == [0, 1]
    last = [run.rows("epoch")[-1] for run in vae]
    totals = [row["test"]["distortion"] + row["test"]["rate"] for row in last]
    assert rows["VAE total"]["values"] == pytest.approx(totals)
    assert rows["VAE total"]["measured"] == pytest.approx(sum(totals) / 2)
    assert rows["VAE total"]["spread"] is None, "two seeds are two values"
    assert rows["VAE total"]["published"] == 50
    assert [rows[name]["verdict"] for name in ("VAE total", "VAE elbo", "epochs to 1000")] == ["holds"] * 3
    assert rows["epochs to 1000"]["values"] == [1, 1]
    assert rows["epochs to 0"]["verdict"] == "reported"
    assert rows["epochs to 0"]["measured"] is None
    base = sum(row["train"]["distortion"] for row in last) / 2
    gain = 100 * (1 - cvae[0].rows("epoch")[-1]["train"]["distortion"] / base)
    assert rows["gain in percent"]["measured"] == pytest.approx(gain)
    kept = json.loads((out / "reproductions" / "tiny" / "result.json").read_text(encoding="utf-8"))
    assert {row["name"]: row["measured"] for row in kept["rows"]}["VAE total"] == rows["VAE total"]["measured"]

    # A table whose bar is out of reach, on the same runs.
    ship(TABLE.format(bar=0.0))
    before = len(list(all_runs(out)))
    code, rows, err = reproduce(out, capsys)
    assert code == 1
    assert rows["VAE elbo"]["verdict"] == "falls short"
    assert err.count("is finished and used again") == 3
    assert len(list(all_runs(out))) == before
    assert execute(["reproduce", "tiny", "--out", str(out)]) == 1
    shown = capsys.readouterr().out
    assert "never" in shown
    assert "≥ 0" in shown
    assert "falls short" in shown


def test_an_interrupted_reproduction_goes_on_where_it_stopped(
    tmp_path: Path,
    ship: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ship(TABLE.format(bar=-1000.0))
    _, whole, _ = reproduce(tmp_path / "whole", capsys)
    polls = {"left": 8}
    genuine = Signals.poll

    def poll(self: Signals) -> None:
        polls["left"] -= 1
        if polls["left"] == 0:
            self.received = 2
        genuine(self)

    monkeypatch.setattr(Signals, "poll", poll)
    out = tmp_path / "runs"
    assert execute(["reproduce", "tiny", "--out", str(out), "--json"]) == 130
    assert "resume" in capsys.readouterr().err
    code, rows, _ = reproduce(out, capsys)
    assert code == 0
    assert rows == whole
    assert len(list(all_runs(out))) == 3


def test_a_quick_look_is_kept_apart(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    ship(TABLE.format(bar=-1000.0))
    out = tmp_path / "runs"
    _, rows, _ = reproduce(out, capsys, "--epochs", "1", "--seeds", "1")
    assert len(rows["VAE total"]["values"]) == 1
    runs = list(all_runs(out))
    assert [len(run.rows("epoch")) for run in runs] == [1, 1]
    assert [path.name for path in (out / "reproductions").iterdir()] == ["tiny-1-epochs"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('value = "test.total"', 'valeu = "test.total"', "Did you mean value?"),
        ('against = "vae"', 'against = "beta-vae"', "names no experiment of the file, 'beta-vae'"),
        ("threshold = 1000", "", "threshold must be given"),
        ('summary = "A tiny table"', "summary = ", "is not valid TOML"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "table.toml"
    file.write_text(TABLE.format(bar=0).replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=said.replace("?", r"\?")) as refused:
        read_reproduction(file)
    assert str(file) in refused.value.message


def test_a_row_that_no_run_can_answer_is_refused(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    ship(TABLE.format(bar=0).replace('value = "test.elbo"', 'value = "test.elboo"'))
    assert execute(["reproduce", "tiny", "--out", str(tmp_path / "runs"), "--epochs", "1", "--seeds", "1"]) == 2
    assert "asks for test.elboo, which the run has not" in capsys.readouterr().err


def test_several_processes_are_refused_before_anything_is_written(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(TABLE.format(bar=0))
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    assert execute(["reproduce", "tiny", "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr()
    assert "the number of processes must be 1, got 2 from torchrun" in said.err
    assert said.out == ""
    assert not (tmp_path / "runs").exists()


CHANGED = """
summary = "A choice by held-out images"
[[experiments]]
name = "narrow"
recipe = "tiny-vae"
seeds = [5]
change.train.holdout = 4
[[experiments]]
name = "wide"
recipe = "tiny-vae"
seeds = [5]
change.train = {{ holdout = 4, epochs = 3 }}
change.network.options.{option} = [16, 8]
[[rows]]
name = "wide is above by"
experiment = "narrow"
against = "wide"
compare = "difference"
value = "holdout.total"
"""


def test_an_experiment_may_change_its_recipe(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    ship(CHANGED.format(option="hidden"))
    out = tmp_path / "runs"
    code, rows, _ = reproduce(out, capsys)
    assert code == 0
    runs = {run.path.name.rpartition("-seed-")[0][24:]: run for run in all_runs(out)}
    recipes = {name: read_recipe(run.config_file) for name, run in runs.items()}
    told = {name: (one.train["epochs"], one.train["holdout"], one.train["limit"]) for name, one in recipes.items()}
    assert told == {"narrow": (2, 4, 16), "wide": (3, 4, 16)}
    assert {name: one.network.options["hidden"] for name, one in recipes.items() if one.network} == {
        "narrow": [8],
        "wide": [16, 8],
    }
    held = {name: run.rows("epoch")[-1]["holdout"] for name, run in runs.items()}
    totals = {name: row["distortion"] + row["rate"] for name, row in held.items()}
    assert rows["wide is above by"]["measured"] == pytest.approx(totals["wide"] - totals["narrow"])


@pytest.mark.parametrize(
    "change", ["network.options.widths = [8]", "train.holdouts = 4", "lr = 1e-3", 'network = "mlp"']
)
def test_a_change_that_makes_no_recipe_is_refused_before_anything_is_trained(
    tmp_path: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str], change: str
) -> None:
    ship(CHANGED.format(option="hidden").replace("change.network.options.hidden = [16, 8]", f"change.{change}"))
    assert execute(["reproduce", "tiny", "--out", str(tmp_path / "runs")]) == 2
    assert not list(all_runs(tmp_path / "runs"))
    assert capsys.readouterr().err.startswith("Error: ")
