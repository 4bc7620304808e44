"""Results as data: rows of a CSV file made from finished runs, and what is refused."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from genzoo import storage
from genzoo.cli import execute
from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe
from genzoo.runs.find import all_runs, find_run
from genzoo.runs.folder import RunFolder
from genzoo.studies.results import FACTS, read_results, record_results, repeats, to_csv

TINY = (
    "run vae --data digits --network mlp --network.hidden 8 --limit 32 --holdout 8 --epochs 2 --batch-size 8 --device cpu "
    "--precision fp32 --metric elbo --metric active=active-units --seed {seed}"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    out = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        assert execute([*shlex.split(TINY.format(seed=seed)), "--out", str(out)]) == 0
    return list(all_runs(out))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "results" / "tiny.csv"


def record(runs: list[RunFolder], table: Path, *more: str) -> int:
    return execute(["runs", "record", *(str(run.path) for run in runs), "--into", str(table), *more])


def test_a_row_says_what_was_trained_and_every_number(trained: list[RunFolder], table: Path) -> None:
    assert record(trained, table, "--as", "tiny", "--epoch", "1") == 0
    rows = read_results(table)
    assert [(row["recipe"], row["seed"]) for row in rows] == [("tiny", "0"), ("tiny", "1")]
    for run, row in zip(trained, rows, strict=True):
        made, last, first = run.record(), run.last_row(), run.rows("epoch")[0]
        assert last is not None
        (weights,) = run.checkpoints.glob("step-*6/model.safetensors")
        assert row["weights_sha256"] == storage.sha256(weights)
        assert row["source"] == run.path.name
        assert (row["epochs"], row["threads"], row["precision"], row["torch"]) == ("2", "1", "fp32", torch.__version__)
        assert row["processor"] == made["processor"] != ""
        assert row["commit"] == (made["git_commit"] or "")
        assert "genzoo-vae 0.1.0" in row["plugins"]
        assert "genzoo-metrics" in row["plugins"]
        for split in ("train", "holdout", "test"):
            for name in ("distortion", "rate", "elbo"):
                assert float(row[f"{split}.{name}"]) == pytest.approx(last[split][name], rel=1e-6)
        for split in ("train", "holdout", "test"):
            assert float(row[f"{split}.rate@1"]) == pytest.approx(first[split]["rate"], rel=1e-6)
        values = made["metrics"]["elbo"]["values"]
        assert float(row["metrics.elbo"]) == pytest.approx(values["elbo"], rel=1e-6)
        assert float(row["metrics.elbo.elbo-se"]) == pytest.approx(values["elbo-se"], rel=1e-6)
        assert row["metrics.active.units"] == "2"
        assert row["protocol"].startswith("24 training images, 8 held out; 32 test images after epoch 2, one posterior")
        assert made["metrics"]["elbo"]["protocol"] in row["protocol"]
    kept = table.parent / "recipes" / "tiny.toml"
    assert execute(["run", "--recipe", str(kept), "--dry-run"]) == 0
    assert repeats(read_recipe(kept), read_recipe(trained[1].config_file), host())


def test_an_installed_recipe_is_found_by_what_it_says_and_what_is_unknown_stays_empty(table: Path) -> None:
    rows = record_results([find_run("zoo:report-vae"), find_run("zoo:report-cvae")], table, host())
    assert [row["recipe"] for row in rows] == ["report-vae", "report-cvae"]
    # What runs export leaves out, or a run of that time did not note, is not known.
    assert {row["commit"] for row in rows} == {""}
    first, second = read_results(table)
    assert first["metrics.class-accuracy"] == ""
    assert float(second["metrics.class-accuracy"]) > 0.9
    assert list(first)[: len(FACTS)] == list(FACTS)


def test_a_run_of_no_installed_recipe_must_be_named(
    trained: list[RunFolder], table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(trained[:1], table) == 2
    assert "must repeat an installed recipe, and repeats none.\nName it with --as NAME." in capsys.readouterr().err
    assert not table.exists()


@pytest.mark.parametrize("name", ["../up", "Best VAE", ".hidden", "", "a/b", "x" * 200])
def test_a_name_that_is_no_file_name_is_refused(trained: list[RunFolder], table: Path, name: str) -> None:
    assert record(trained[:1], table, "--as", name) == 2
    assert not table.parent.exists()


def test_one_row_per_recipe_and_seed(trained: list[RunFolder], table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(trained[:1], table, "--as", "tiny") == 0
    before = table.read_bytes()
    assert record(trained[:1], table, "--as", "tiny") == 2
    assert "would have two of tiny, seed 0" in capsys.readouterr().err
    assert record([trained[1], trained[1]], table, "--as", "tiny", "--replace") == 2
    assert table.read_bytes() == before
    assert record(trained[1:], table, "--as", "tiny") == 0
    assert record(trained[:1], table, "--as", "tiny", "--replace", "--epoch", "1") == 0
    rows = {row["seed"]: row for row in read_results(table)}
    # The new row stands where the old one stood.
    assert list(rows) == ["0", "1"]
    assert rows["0"]["test.rate@1"] != ""
    assert rows["1"]["test.rate@1"] == ""


@pytest.mark.parametrize(
    ("old", "new"), [("lr = 0.001", "lr = 0.002"), ("    8,\n", "    9,\n"), ("holdout = 8", "holdout = 4")]
)
def test_another_recipe_by_the_same_name_is_refused(
    trained: list[RunFolder], table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    assert record(trained[:1], table, "--as", "tiny") == 0
    other = RunFolder(Path(shutil.copytree(trained[1].path, tmp_path / "other")))
    text = other.config_file.read_text(encoding="utf-8")
    assert old in text
    other.config_file.write_text(text.replace(old, new), encoding="utf-8")
    before = table.read_bytes()
    assert record([other], table, "--as", "tiny") == 2
    assert "and differs from it" in capsys.readouterr().err
    assert table.read_bytes() == before


@pytest.mark.parametrize("line", ['device = "cpu"', "keep = 2", "eval_every = 1", 'precision = "fp32"'])
def test_the_machine_and_what_changes_no_weight_make_no_other_recipe(trained: list[RunFolder], line: str) -> None:
    one = read_recipe(trained[0].config_file)
    key = line.split(" = ")[0]
    other = one.model_copy(update={"train": {k: v for k, v in one.train.items() if k != key}})
    assert repeats(one, other, host())


def test_an_option_that_is_newer_than_the_row_is_at_its_default(trained: list[RunFolder]) -> None:
    one = read_recipe(trained[0].config_file)
    assert one.network is not None
    older = one.model_copy(update={"network": one.network.model_copy(update={"options": {"hidden": [8]}})})
    assert repeats(one, older, host())
    assert repeats(older, one, host())


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_that_is_not_finished_is_refused(
    trained: list[RunFolder], table: Path, tmp_path: Path, status: str
) -> None:
    copy = RunFolder(Path(shutil.copytree(trained[0].path, tmp_path / "copy")))
    copy.update_record(status=status)
    with pytest.raises(UsageError, match=f"must be finished, got {status}"):
        record_results([copy], table, host(), name="tiny")
    assert not table.exists()


def test_an_epoch_that_was_not_trained_is_refused(trained: list[RunFolder], table: Path) -> None:
    with pytest.raises(UsageError, match=r"one that .+ trained, got 7"):
        record_results(trained, table, host(), name="tiny", epochs=[7])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b\n1,2\n",
        b"\xff\xfe\x00",
        (",".join(FACTS) + "\nonly,three,cells\n").encode(),
        (",".join(FACTS) + "\n" + "x," * 40 + "\n").encode(),
        (",".join([*FACTS, "test.rate", "test.rate"]) + "\n").encode(),
    ],
)
def test_a_file_that_is_no_file_of_results_is_refused_and_kept(
    trained: list[RunFolder], table: Path, content: bytes
) -> None:
    table.parent.mkdir()
    table.write_bytes(content)
    assert record(trained[:1], table, "--as", "tiny") == 2
    assert table.read_bytes() == content


def test_a_file_of_results_comes_back_as_it_was_written(tmp_path: Path) -> None:
    facts = {**dict.fromkeys(FACTS, ""), "recipe": "a", "protocol": 'commas, "quotes"\nand lines'}
    rows = [{**facts, "test.rate": "1.5"}, {**facts, "seed": "1", "metrics.nll": "2"}]
    file = tmp_path / "some.csv"
    file.write_text(to_csv(rows), encoding="utf-8")
    full = [{**row, **{name: row.get(name, "") for name in ("test.rate", "metrics.nll")}} for row in rows]
    assert read_results(file) == full
    assert to_csv(read_results(file)) == file.read_text(encoding="utf-8")
