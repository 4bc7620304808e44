"""What a run says and where it writes: keys that name files, its verdict, its listing, and what it asks before removing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo
from genzoo import storage
from genzoo.api import labels_for
from genzoo.cli import execute
from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import plan
from genzoo.errors import StorageError, UsageError
from genzoo.findings import Evidence, LevelUse, Margin
from genzoo.host.plugin_host import host
from genzoo.recipe import Recipe, parse_recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.training.verdict import paragraph
from genzoo.types import Kind

PARTS = ["--data", "digits", "--network", "mlp", "--network.hidden", "8", "--device", "cpu", "--precision", "fp32"]
SMALL: dict[str, Any] = {
    "data": "digits",
    "network": ("mlp", {"hidden": [8]}),
    "batch_size": 16,
    "precision": "fp32",
    "device": "cpu",
    "progress": False,
}
TINY = ["run", "vae", *PARTS, "--limit", "16", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("trained")
    assert execute([*TINY, "--out", str(out)]) == 0
    return next(all_runs(out))


@pytest.fixture
def copy(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "runs" / "vae" / trained.path.name)))


def recipe(model: str = "vae", **parts: Any) -> Recipe:
    content = {"dataset": {"name": "digits"}, "network": {"name": "mlp", "options": {"hidden": [8]}}}
    return parse_recipe({"model": {"name": model}, **content, **parts}, "test")


def experiment(model: str = "vae", **parts: Any) -> Experiment:
    return build(plan(recipe(model, **parts), host()))


# The key of a figure names its files.


@pytest.mark.parametrize("key", ["../evil", "/evil", "a/b", "nul\0", "CON", "aux.1", ".hidden", "x" * 300])
def test_a_key_that_is_no_file_name_is_exit_2_and_nothing_is_written(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    assert execute([*TINY, "--viz", f"{key}=samples", "--out", str(out)]) == 2
    assert "the key of a figure" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="the key of a figure"):
        genzoo.run("vae", viz={key: "samples"}, out=out)
    with pytest.raises(UsageError, match="the key of a figure"):
        recipe(visualizers={key: {"name": "samples"}})


def test_a_figure_named_with_its_kind_or_distribution_is_filed_under_its_name(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("visualizer/samples", "genzoo-visualizers:samples"):
        out = tmp_path / name.replace("/", "-").replace(":", "-")
        assert execute(["viz", str(copy.path), name, "--out", str(out)]) == 0
        assert [path.name for path in out.iterdir()] == ["samples.png"]
        capsys.readouterr()
        assert execute([*TINY, "--viz", name, "--viz.samples.count", "2", "--dry-run"]) == 0
        assert "[visualizers.samples]" in capsys.readouterr().out


def test_a_part_named_with_its_kind_keeps_what_the_model_declares() -> None:
    chosen = plan(recipe("beta-vae", loss={"name": "loss/elbo"}), host())[Kind.LOSS]
    assert chosen.options == plan(recipe("beta-vae"), host())[Kind.LOSS].options


def test_one_figure_with_options_need_not_stand_in_a_list() -> None:
    with pytest.raises(UsageError, match="count"):
        genzoo.run("vae", data="digits", network="mlp", viz=("samples", {"count": 0}))


# Where the model is.


def test_labels_and_images_go_to_the_models_device(monkeypatch: pytest.MonkeyPatch, trained: RunFolder) -> None:
    model = experiment("cvae").model.to("meta")
    for label in (None, 3, [1, 2]):
        labels = labels_for(model, 2, label)
        assert labels is not None
        assert labels.device.type == "meta"
    assert [int(label) for label in labels_for(model.to_empty(device="cpu"), 3, None)] == [0, 1, 2]  # pyright: ignore[reportOptionalIterable]
    run = genzoo.load(trained.path)
    monkeypatch.setattr(type(run), "model", run.model.to("meta"))
    assert run.encode(torch.zeros(2, 1, 8, 8)).device.type == "meta"


# The verdict.


COLLAPSED = Evidence(
    distortion=40.0,
    rate=0.01,
    levels=(LevelUse(2, 0.01, in_use=0, active=0, images=100),),
    pixels=64,
    use=Margin(0.0, 0.001),
)


def collapsed(made: Experiment, **evidence: Any) -> str:
    quantities = {"quantities": made.schedule.configured, **evidence}
    return paragraph(made.loss.diagnose(replace(COLLAPSED, **quantities)))


def test_a_collapse_is_told_with_what_the_runs_own_loss_can_do() -> None:
    plain = collapsed(experiment())
    assert "The rate is weighted by β = 1." in plain
    assert "--loss.beta" in plain
    assert "--scheduler.beta.epochs 20" in plain
    assert "--loss.free-bits 0.5" in plain
    assert "--scheduler.beta.epochs 60" in collapsed(experiment(), settled={"beta": 30.0})
    assert "weighted by β = 0.25" in collapsed(experiment(), quantities={"beta": 0.25})
    free = collapsed(experiment(loss={"name": "elbo", "options": {"free_bits": 2}}))
    assert "--loss.free-bits 4" in free
    drawn = collapsed(experiment(loss={"name": "elbo", "options": {"capacity": 5}}))
    assert "a higher --loss.capacity" in drawn
    assert not any(option in drawn for option in ("--loss.beta", "--loss.free-bits", "warm-up"))
    averaged = collapsed(experiment(loss={"name": "elbo", "options": {"distortion_per": "pixel"}}))
    assert "averaged over 64 pixels" in averaged
    assert "--loss.distortion-per image" in averaged
    other = collapsed(experiment(loss={"name": "iwae"}))
    assert "--loss.beta" not in other
    assert "warm-up" not in other
    assert "--loss elbo --loss.free-bits 0.5" in other


@pytest.mark.parametrize("loss", ["elbo", "iwae", "normalised-elbo", "beta-tc", "info-vae"])
def test_every_loss_has_a_remedy_for_a_collapse_and_none_for_a_healthy_run(loss: str) -> None:
    made = experiment(loss={"name": loss})
    assert "Try" in collapsed(made)
    quantities = {"quantities": made.schedule.configured}
    healthy = replace(COLLAPSED, rate=6.0, levels=(LevelUse(2, 6.0, in_use=2),), use=Margin(60.0, 1.0), **quantities)
    assert paragraph(made.loss.diagnose(healthy)) == ""
    assert collapsed(made, steps=10, epochs=1) == ""


def test_an_autoencoder_is_called_one() -> None:
    made = experiment(loss={"name": "elbo", "options": {"beta": 0}})
    used = replace(
        COLLAPSED, rate=80.0, levels=(LevelUse(2, 80.0, in_use=2),), use=Margin(60.0, 1.0), quantities={"beta": 0.0}
    )
    assert "β is 0" in paragraph(made.loss.diagnose(used))


def test_a_capacity_that_holds_an_unread_rate_is_told() -> None:
    made = experiment(loss={"name": "elbo", "options": {"capacity": 20}})
    text = collapsed(made, rate=20.0)
    assert "The rate is drawn to a capacity of 20 nats, whether the decoder reads them or not." in text
    assert text.endswith("Try a lower --loss.gamma.")


def test_the_reports_range_is_quoted_for_the_reports_data_only(tmp_path: Path) -> None:
    run = genzoo.run("vae", **SMALL, epochs=2, limit=64, out=tmp_path)
    assert "the report calls" not in run.verdict


# Resuming, listing and removing.


def test_resume_refuses_what_it_would_not_do(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = copy.record()
    for flag in (["--dry-run"], ["--name", "again"]):
        assert execute(["run", "--resume", str(copy.path), "--epochs", "2", *flag]) == 2
        assert f"{flag[0]} must be left out" in capsys.readouterr().err
    assert copy.record() == before


def test_a_damaged_run_does_not_hide_the_others(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "runs" / "vae" / "20200101T000000Z-000000"
    shutil.copytree(copy.path, damaged)
    (damaged / "run.json").write_text("{", encoding="utf-8")
    assert execute(["runs", "list", "--json", "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr()
    assert [row["status"] for row in json.loads(said.out)] == ["damaged", "finished"]
    assert "is not valid JSON" in said.err
    assert execute(["runs", "show", str(damaged)]) == 4


def test_the_last_numbers_are_those_of_the_fitted_prior(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    test = {"distortion": 1.0, "rate": 2.0, "elbo": -3.0}
    copy.add_row({"kind": "fitted", "epoch": 1, "step": 2, "quantities": {}, "test": test})
    assert genzoo.load(copy.path).metrics["elbo"] == -3.0
    assert execute(["runs", "list", "--json", "--out", str(copy.path.parent.parent)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["numbers"] == test
    assert execute(["runs", "show", str(copy.path)]) == 0
    assert "fitted prior: distortion 1.00, rate 2.00, elbo -3.00" in capsys.readouterr().out


def test_removing_asks_on_stderr_and_needs_an_answer(
    copy: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert execute(["runs", "rm", str(copy.path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "--yes" in said.err
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert execute(["runs", "rm", str(copy.path)]) == 0
    assert "Kept" in capsys.readouterr().err
    assert copy.path.is_dir()


def test_a_resumed_run_draws_in_the_formats_it_was_started_with(tmp_path: Path) -> None:
    assert execute([*TINY, "--viz", "samples", "--format", "svg,png", "--out", str(tmp_path)]) == 0
    folder = next(all_runs(tmp_path))
    before = {path.name: path.stat().st_mtime_ns for path in folder.figures.iterdir()}
    assert set(before) == {"samples.svg", "samples.png"}
    assert execute(["run", "--resume", str(folder.path), "--epochs", "2"]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in folder.figures.iterdir()}
    assert after.keys() == before.keys()
    assert all(after[name] > before[name] for name in before)


def test_a_run_that_ends_by_patience_keeps_its_last_weights(tmp_path: Path) -> None:
    train: dict[str, Any] = {
        "epochs": 30,
        "limit": 60,
        "holdout": 12,
        "patience": 2,
        "checkpoint_every": 29,
        "lr": 0.05,
    }
    run = genzoo.run("vae", **SMALL, **train, out=tmp_path)
    last = run.history[-1]
    assert last["epoch"] < 29
    assert run.loaded.epoch == last["epoch"]


def test_test_images_are_evaluated_as_often_as_asked_and_first_and_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = genzoo.run("vae", **SMALL, epochs=8, limit=32, eval_every=3, out=tmp_path)
    tested = {row["epoch"]: row["test"] for row in run.history if "test" in row}
    assert list(tested) == [1, 3, 6, 8]
    every = genzoo.run("vae", **SMALL, epochs=8, limit=32, out=tmp_path)
    assert tested == {row["epoch"]: row["test"] for row in every.history if row["epoch"] in tested}
    assert [row["train"] for row in run.history] == [row["train"] for row in every.history]


def test_while_a_run_goes_on_its_listing_has_its_latest_test_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = genzoo.run("vae", **SMALL, epochs=5, limit=32, eval_every=3, out=tmp_path)
    metrics = run.folder.metrics_file
    metrics.write_text(
        "".join(line for line in metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8"
    )
    assert execute(["runs", "list", "--out", str(tmp_path), "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["epoch"] == 4
    assert listed["numbers"] == next(row["test"] for row in run.history if row["epoch"] == 3)


# The best checkpoint.


def test_the_best_checkpoint_can_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = genzoo.run("vae", **SMALL, epochs=30, limit=60, holdout=12, patience=2, lr=0.05, keep=1, out=tmp_path)
    best = (run.folder.checkpoints / "BEST").read_text(encoding="utf-8")
    last = (run.folder.checkpoints / "LAST").read_text(encoding="utf-8")
    assert best != last
    assert genzoo.load(run.path).loaded.checkpoint.name == last
    assert genzoo.load(run.path, best=True).loaded.checkpoint.name == best
    for arguments, expected in (([], last), (["--best"], best)):
        assert execute(["eval", str(run.path), "elbo", "--json", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"]["elbo"]["checkpoint"] == expected


def test_a_run_that_holds_nothing_out_has_no_best_checkpoint(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["viz", "samples"],
        ["eval", "elbo"],
        ["sample"],
        ["encode", "--out", str(copy.path / "codes.npz")],
    ):
        assert execute([command[0], str(copy.path), *command[1:], "--best"]) == 2
        assert "--holdout" in capsys.readouterr().err


# A disk that takes nothing.


def test_numbers_that_cannot_be_kept_are_shown(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def full(operation: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    with storage.probed(full):
        assert execute(["eval", str(copy.path), "elbo", "--json"]) == StorageError.exit_code
    assert json.loads(capsys.readouterr().out)["metrics"]["elbo"]["values"]


def test_a_file_in_no_folder_is_refused_before_the_work(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for command, suffix in (("sample", "png"), ("encode", "npz")):
        assert execute([command, str(copy.path), "--out", str(copy.path / "none" / f"x.{suffix}")]) == 2
        assert "a folder that exists" in capsys.readouterr().err
