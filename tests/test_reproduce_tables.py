"""How a table is judged: made-up runs with known numbers, and runs that were started by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genzoo.cli import execute
from genzoo.cli.recipes import _measured, _number  # pyright: ignore[reportPrivateUsage]
from genzoo.errors import UsageError
from genzoo.interfaces import PerImage
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.runs.per_image import keep
from genzoo.studies.table import ExperimentSpec, Reproduction, Result, RowSpec, compare


def made_up(folder: Path, **metrics: dict[str, float]) -> RunFolder:
    """A finished run whose numbers are these."""
    folder.mkdir(parents=True)
    values = {key.replace("_", "-"): {"values": numbers} for key, numbers in metrics.items()}
    (folder / "run.json").write_text(
        json.dumps({"schema": 1, "status": "finished", "metrics": values}), encoding="utf-8"
    )
    test = {"distortion": 80.0, "rate": 25.0, "rates": [4.0, 21.0], "elbo": -105.0}
    (folder / "metrics.jsonl").write_text(
        json.dumps({"kind": "epoch", "epoch": 1, "test": test, "train": test}) + "\n", encoding="utf-8"
    )
    return RunFolder(folder)


def judged(tmp_path: Path, rows: Sequence[dict[str, Any]], **values: Sequence[float]) -> list[Result]:
    """Rows over experiments ``one`` and ``other``, whose nll a seed is given."""
    runs = {
        name: [made_up(tmp_path / f"{name}-{seed}", nll={"nll": nll, "k": 200.0}) for seed, nll in enumerate(seeds)]
        for name, seeds in values.items()
    }
    table = Reproduction(
        summary="Made up",
        experiments=[ExperimentSpec(name=name, recipe=name) for name in values],
        rows=[
            RowSpec.model_validate({"name": "row", "experiment": "one", "value": "metrics.nll", **row}) for row in rows
        ],
    )
    return compare(table, runs)


def test_a_difference_is_what_the_run_is_lower_by_seed_by_seed(tmp_path: Path) -> None:
    row = {"against": "other", "compare": "difference"}
    at_bar, short = judged(
        tmp_path, [{**row, "at_least": 1.5}, {**row, "at_least": 1.6}], one=[86.0, 85.0], other=[87.0, 87.0]
    )
    assert at_bar.values == (1.0, 2.0)
    assert at_bar.mean == 1.5
    # Two seeds are two values, and here the bar lies between them.
    assert at_bar.spread is None
    assert (at_bar.verdict, short.verdict) == ("equal within the spread", "equal within the spread")


@pytest.mark.parametrize(
    ("seeds", "bar", "verdict"),
    [
        ([85.0, 85.2, 85.1], 86.0, "holds"),
        ([85.0, 87.0, 86.0], 86.2, "equal within the spread"),
        ([85.0, 87.0, 86.0], 85.2, "equal within the spread"),
        ([85.0, 87.0, 86.0], 84.5, "falls short"),
        ([85.0, 85.5], 86.0, "holds"),
        ([85.0, 86.5], 86.0, "equal within the spread"),
        ([86.5, 86.2], 86.0, "falls short"),
        ([86.0], 86.0, "holds"),
        ([86.1], 86.0, "falls short"),
    ],
)
def test_a_bar_is_neither_met_nor_missed_within_the_spread(
    tmp_path: Path, seeds: list[float], bar: float, verdict: str
) -> None:
    (result,) = judged(tmp_path, [{"at_most": bar}], one=seeds)
    assert result.verdict == verdict
    (other,) = judged(tmp_path / "turned", [{"at_least": -bar}], one=[-seed for seed in seeds])
    assert other.verdict == verdict


@pytest.mark.parametrize(
    ("values", "bar", "verdict", "shown"),
    [
        ([[1.8, 2.2], [2.0, 2.0]], 0.5, "holds", "2.00 ± 0.20, 2.00 ± 0.00 (paired, 2 images)"),
        ([[1.8, 2.2]], 1.9, "equal within the spread", "2.00 ± 0.20 (paired, 2 images)"),
        ([[1.8, 2.2]], 2.1, "equal within the spread", "2.00 ± 0.20 (paired, 2 images)"),
        ([[1.8, 2.2]], 2.3, "falls short", "2.00 ± 0.20 (paired, 2 images)"),
        ([[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]], 0.0, "holds", "3.00 ± 1.00 (3 seeds)"),
    ],
)
def test_a_difference_image_by_image_has_a_paired_error(
    tmp_path: Path, values: list[list[float]], bar: float, verdict: str, shown: str
) -> None:
    runs: dict[str, list[RunFolder]] = {"one": [], "other": []}
    base = np.array([70.0, 110.0])
    for seed, apart in enumerate(values):
        runs["one"].append(with_values(tmp_path / f"one-{seed}", base.tolist()))
        runs["other"].append(with_values(tmp_path / f"other-{seed}", (base + apart).tolist()))
    row = {"name": "row", "experiment": "one", "value": "metrics.nll", "against": "other", "compare": "difference"}
    table = Reproduction(
        summary="Made up",
        experiments=[ExperimentSpec(name=name, recipe=name) for name in runs],
        rows=[RowSpec.model_validate({**row, "at_least": bar})],
    )
    assert table.paired("one") == table.paired("other") == {"nll"}
    (result,) = compare(table, runs)
    assert (result.verdict, _measured(result)) == (verdict, shown)
    assert result.images == 2


def test_a_comparison_over_other_images_is_refused(tmp_path: Path) -> None:
    one, other = with_values(tmp_path / "one", [1.0, 2.0]), with_values(tmp_path / "other", [1.0, 2.0, 3.0])
    row = {"name": "row", "experiment": "one", "value": "metrics.nll", "against": "other", "compare": "difference"}
    table = Reproduction(
        summary="Made up",
        experiments=[ExperimentSpec(name=name, recipe=name) for name in ("one", "other")],
        rows=[RowSpec.model_validate(row)],
    )
    with pytest.raises(UsageError, match="must compare nll over the same images, got 2 that both runs have"):
        compare(table, {"one": [one], "other": [other]})


def with_values(path: Path, values: list[float]) -> RunFolder:
    """A run whose nll has these values, image by image."""
    run = made_up(path, nll={"nll": float(np.mean(values))})
    found = PerImage(torch.tensor(values, dtype=torch.float64), torch.arange(len(values)), torch.arange(len(values)))
    record = run.record()
    run.write_record({**record, "metrics": keep({"nll": {**record["metrics"]["nll"], "per_image": found}}, run)})
    return run


def test_a_difference_of_unequal_numbers_of_seeds_is_one_of_means(tmp_path: Path) -> None:
    (result,) = judged(tmp_path, [{"against": "other", "compare": "difference"}], one=[86.0, 85.0], other=[87.0])
    assert result.values == (1.5,)
    assert result.verdict == "reported"


def test_a_worse_run_falls_short(tmp_path: Path) -> None:
    (result,) = judged(
        tmp_path, [{"against": "other", "compare": "difference", "at_least": 0.0}], one=[88.0], other=[87.0]
    )
    assert result.mean == -1
    assert result.verdict == "falls short"


def test_two_numbers_of_one_run_are_compared(tmp_path: Path) -> None:
    row = {"against": "one", "against_value": "metrics.nll.k", "compare": "difference", "at_least": 100}
    (result,) = judged(tmp_path, [row], one=[90.0])
    assert result.values == (110.0,)
    assert result.verdict == "holds"


def test_percent_stays_the_default(tmp_path: Path) -> None:
    (result,) = judged(tmp_path, [{"against": "other"}], one=[90.0, 70.0], other=[100.0])
    assert result.values == (pytest.approx(20.0),)


def test_the_rate_of_a_level_is_read(tmp_path: Path) -> None:
    top, total = judged(tmp_path, [{"value": "test.rates.0"}, {"value": "test.total"}], one=[0.0])
    assert (top.values, total.values) == ((4.0,), (105.0,))


def test_a_number_that_is_not_finite_holds_no_bar(tmp_path: Path) -> None:
    below, above = judged(tmp_path, [{"at_most": 90.0}, {"at_least": 0.0}], one=[float("nan")])
    assert (below.verdict, above.verdict) == ("falls short", "falls short")


@pytest.mark.parametrize(
    "path", ["test.rates.2", "test.rates", "test.elbo.0", "test.nll", "best.elbo", "metrics.nll.k.x"]
)
def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match=f"asks for {path}, which the run has not"):
        judged(tmp_path, [{"value": path}], one=[1.0])


@pytest.mark.parametrize("extra", [{"against_value": "test.elbo"}, {"compare": "difference"}])
def test_a_comparison_with_nothing_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="against must be given"):
        RowSpec.model_validate({"name": "row", "experiment": "one", "value": "test.elbo", **extra})


def test_small_numbers_keep_their_digits() -> None:
    assert [_number(value) for value in (0.0042, 0.0, 97.104, -0.02, 0.25, float("inf"))] == [
        "0.0042",
        "0.00",
        "97.10",
        "-0.02",
        "0.25",
        "never",
    ]


TINY = ["--data", "digits", "--network", "mlp", "--network.hidden", "8", "--epochs", "1", "--limit", "16"]


def test_a_run_that_was_started_by_hand_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    from genzoo.host.plugin_host import Host

    out = tmp_path / "runs"
    run = ["run", "vae", *TINY, "--device", "cpu", "--precision", "fp32", "--out", str(out)]
    assert execute([*run, "--metric", "active-units", "--seed", "1"]) == 0
    recipe = tmp_path / "mine.toml"
    (started,) = all_runs(out)
    recipe.write_text(started.config_file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(
        """
summary = "Tiny"
[[experiments]]
name = "vae"
recipe = "mine"
seeds = [1]
[[rows]]
name = "units"
experiment = "vae"
value = "metrics.active-units"
at_least = 0
""",
        encoding="utf-8",
    )
    monkeypatch.setattr(Host, "resource", lambda self, kind, name: SimpleNamespace(path=tmp_path / f"{name}.toml"))
    capsys.readouterr()
    # One more metric and no summary make no other run; it is found a first time, and known the second.
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace('summary = ""', 'summary = "The same"'), encoding="utf-8"
    )
    for said in ("is a finished run of the same recipe and is used", "is finished and used again"):
        assert execute(["reproduce", "tiny", "--out", str(out), "--json"]) == 0
        assert said in capsys.readouterr().err
    assert len(list(all_runs(out))) == 1

    # Nor does a run of a time that knew fewer options.
    config = started.config_file.read_text(encoding="utf-8")
    assert "eval_every = 1\n" in config
    started.config_file.write_text(config.replace("eval_every = 1\n", ""), encoding="utf-8")
    assert execute(["reproduce", "tiny", "--out", str(out), "--json"]) == 0
    assert "is finished and used again" in capsys.readouterr().err

    # A number that the run was not asked for is measured, once.
    mine = recipe.read_text(encoding="utf-8")
    recipe.write_text(mine + "[metrics.elbo]\nname = 'elbo'\noptions = { samples = 2 }\n", encoding="utf-8")
    for measured in (True, False):
        assert execute(["reproduce", "tiny", "--out", str(out), "--json"]) == 0
        assert ("It has no elbo yet" in capsys.readouterr().err) == measured
    assert started.record()["metrics"]["elbo"]["values"]["elbo"] < 0
    assert len(list(all_runs(out))) == 1

    # The same number by another option, or another option, makes it another run, and the first keeps what it has.
    recipe.write_text(mine + "[metrics.elbo]\nname = 'elbo'\noptions = { samples = 3 }\n", encoding="utf-8")
    before = started.record()["metrics"]
    assert execute(["reproduce", "tiny", "--out", str(out), "--json"]) == 0
    assert "was made with other options" in capsys.readouterr().err
    assert started.record()["metrics"] == before
    assert len(list(all_runs(out))) == 2
