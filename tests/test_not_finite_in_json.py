"""A number that is not finite is null in every file and output of a run, which stays JSON, and NaN again when read."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import genzoo
from genzoo.cli import execute
from genzoo.engine.checkpoint import load_checkpoint, save_checkpoint
from genzoo.engine.evaluate import Totals
from genzoo.host.plugin_host import host
from genzoo.interfaces import Terms
from genzoo.plain import plain, read_row, spelled, unspelled
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.types import Kind

TINY = shlex.split(
    "run vae --data digits --network mlp --network.hidden 8 --limit 16 --epochs 1 --batch-size 8 --device cpu "
    "--precision fp32 --metric elbo"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def strict(text: str) -> Any:
    """What a reader that knows JSON alone makes of it."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_metric_that_is_nan_leaves_a_run_that_every_reader_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metric = host().get(Kind.METRIC, "elbo").load()
    monkeypatch.setattr(metric, "evaluate", lambda *_: {"a": math.nan, "b": math.inf, "c": 1.5})
    assert execute([*TINY, "--json", "--out", str(tmp_path)]) == 0
    expected = {"a": None, "b": None, "c": 1.5}
    assert strict(capsys.readouterr().out)["metrics"]["elbo"]["values"] == expected
    folder = next(all_runs(tmp_path))
    assert strict(folder.record_file.read_text(encoding="utf-8"))["metrics"]["elbo"]["values"] == expected
    for line in folder.metrics_file.read_text(encoding="utf-8").splitlines():
        strict(line)
    found = genzoo.load(folder.path).metrics
    assert [math.isnan(found[name]) for name in "abc"] == [True, True, False]
    # What rewrites the record keeps it so, and what prints it does not stumble.
    folder.update_record(status="finished")
    assert strict(folder.record_file.read_text(encoding="utf-8"))["metrics"]["elbo"]["values"] == expected
    assert execute(["runs", "show", str(folder.path)]) == 0
    assert "a nan" in capsys.readouterr().out
    for command in (["runs", "show", str(folder.path)], ["eval", str(folder.path), "elbo"]):
        assert execute([*command, "--json"]) == 0
        strict(capsys.readouterr().out)
    assert execute(["eval", str(folder.path), "elbo"]) == 0


def test_rows_that_are_not_finite_are_json_and_are_read_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"objective": math.nan, "distortion": math.inf, "rate": 2.0, "rates": [2.0, -math.inf], "elbo": -math.inf}
    row: dict[str, Any] = {"kind": "epoch", "epoch": 1, "quantities": {"beta": math.nan}, "images_per_second": None}
    row |= {"train": {**numbers, "ratio": None, "terms": {"x": math.nan}}, "seconds": 1.0}
    folder = RunFolder(tmp_path)
    folder.add_row(row)
    folder.write_record({"schema": 1, "status": "finished", "summary": row})
    folder.config_file.write_text('[model]\nname = "vae"\n', encoding="utf-8")
    written = strict(folder.metrics_file.read_text(encoding="utf-8"))
    assert written["train"]["rates"] == [2.0, None]
    assert written == strict(folder.record_file.read_text(encoding="utf-8"))["summary"]
    (read,) = folder.rows("epoch")
    assert repr(read) == repr(folder.record()["summary"])
    assert read["images_per_second"] is None
    assert read["train"]["ratio"] is None
    assert read["train"]["rate"] == 2.0
    for value in (
        read["quantities"]["beta"],
        read["train"]["elbo"],
        read["train"]["rates"][1],
        read["train"]["terms"]["x"],
    ):
        assert math.isnan(value)
    folder.rewind(1)
    assert strict(folder.metrics_file.read_text(encoding="utf-8")) == written
    assert execute(["runs", "show", str(tmp_path)]) == 0
    assert execute(["runs", "list", "--out", str(tmp_path.parent)]) == 0
    assert "nan" in capsys.readouterr().out


def test_rows_of_an_older_run_are_still_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text(
        '{"kind": "epoch", "epoch": 1, "train": {"rate": NaN, "elbo": -Infinity}}\n', encoding="utf-8"
    )
    (row,) = folder.rows("epoch")
    assert math.isnan(row["train"]["rate"])


def test_the_state_of_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    totals = Totals()
    values = torch.tensor([1.0, math.inf, math.nan, 1.0])
    report = {"distortion": values[1], "rates": values[2:3]}
    totals.add(Terms(values[0], {"distortion": values[0]}, report), 3, values)
    state = {
        "epochs_done": 0,
        "step_in_epoch": 1,
        "totals": {"model": totals.state()},
        "best_elbo": -math.inf,
        "name": "NaNny",
    }
    path = save_checkpoint(tmp_path, 1, model, None, None, state)
    strict((path / "state.json").read_text(encoding="utf-8"))
    found = load_checkpoint(path, model)
    assert found["best_elbo"] == -math.inf
    assert found["name"] == "NaNny"
    again = Totals()
    again.restore(found["totals"]["model"], "cpu")
    assert repr(again.means()) == repr(totals.means())


def test_what_is_spelled_is_read_back() -> None:
    value = {"a": [1, 0.1, math.inf, -math.inf, math.nan, None, True, "x"], "b": {"c": (math.inf,)}}
    assert repr(unspelled(strict(json.dumps(spelled(value), allow_nan=False)))) == repr(
        {"a": value["a"], "b": {"c": [math.inf]}}
    )
    assert plain(value)["a"][:6] == [1, 0.1, None, None, None, None]
    assert read_row({"kind": None, "test": {"nll": None}})["kind"] is None
