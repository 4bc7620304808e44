"""Run folders: never shared, never overwritten, in the order they were made, and only ever below --out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest
import torch

from genzoo.cli import execute
from genzoo.errors import RunExistsError, UsageError
from genzoo.runs import folder as module
from genzoo.runs.find import all_runs, find_run
from genzoo.runs.folder import RunFolder, create

TINY = ["run", "vae", "--data", "digits", "--network", "mlp", "--network.hidden", "8", "--limit", "16", "--epochs", "1"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run, to be copied."""
    out = tmp_path_factory.mktemp("trained")
    assert execute([*TINY, "--out", str(out)]) == 0
    return next(all_runs(out))


@pytest.fixture
def copy(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "runs" / "vae" / trained.path.name)))


def complete(folder: RunFolder, epoch: int = 1) -> RunFolder:
    folder.write_record({"schema": 1, "status": "finished"})
    folder.config_file.write_text('[model]\nname = "vae"\n', encoding="utf-8")
    return folder


class Clock(datetime):
    """A clock that a test sets."""

    at = datetime(2026, 5, 1, 12, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return cls.at


def test_fifty_starts_at_once_make_fifty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "datetime", Clock)
    with ThreadPoolExecutor(50) as pool:
        folders = list(pool.map(lambda _: create(tmp_path, "vae"), range(50)))
    assert len({folder.path for folder in folders}) == 50
    assert len(list((tmp_path / "vae").iterdir())) == 50


def test_an_existing_folder_is_never_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_stamp", lambda out: "20260501T120000Z-000000")
    first = create(tmp_path, "vae")
    (first.path / "mine").write_text("kept", encoding="utf-8")
    with pytest.raises(RunExistsError) as refused:
        create(tmp_path, "vae")
    assert refused.value.exit_code == 6
    assert [path.name for path in first.path.iterdir() if path.is_file()] == ["mine"]


def test_the_order_of_runs_outlives_a_clock_set_back_and_a_second_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "datetime", Clock)
    times = [datetime(2026, 5, 1, 12, tzinfo=UTC)] * 3 + [datetime(2026, 5, 1, 9, tzinfo=UTC)] * 2
    times += [datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)]
    made: list[Path] = []
    for model, at in zip(["vae", "cvae"] * 3, times, strict=True):
        monkeypatch.setattr(Clock, "at", at)
        made.append(complete(create(tmp_path, model)).path)
        assert find_run("last", tmp_path).path == made[-1]
    assert [run.path for run in all_runs(tmp_path)] == made


def test_a_clock_that_goes_backwards_while_training_leaves_the_rows_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"seconds": 2e9}

    def back() -> float:
        now["seconds"] -= 3600
        return now["seconds"]

    monkeypatch.setattr("time.time", back)
    monkeypatch.setattr("genzoo.runs.record.datetime", Clock)
    monkeypatch.setattr(Clock, "now", lambda tz=None: datetime.fromtimestamp(back(), tz))
    assert execute([*TINY[:-1], "3", "--out", str(tmp_path)]) == 0
    (run,) = all_runs(tmp_path)
    rows = run.rows("epoch")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["seconds"] >= 0 and row["images_per_second"] > 0 for row in rows)
    record = run.record()
    assert record["ended"] < record["created"]
    assert record["status"] == "finished"


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", "a\0b", "CON", "nul.txt", "x" * 300, ".hidden", "-flag", "a..b", "ünicode", "a b"]
)
def test_a_name_that_is_no_plain_word_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*TINY, f"--name={name}", "--out", str(tmp_path / "runs")]) == 2
    assert "--name must be" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError):
        create(tmp_path / "runs", "vae", name)


def test_a_linked_model_folder_is_refused_and_nothing_is_written_through_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "vae").symlink_to(outside)
    assert execute([*TINY, "--out", str(tmp_path / "runs")]) == 2
    assert "must be a folder, got a link" in capsys.readouterr().err
    assert list(outside.iterdir()) == []
    # A linked folder of runs is the user's own choice.
    (tmp_path / "linked").symlink_to(outside)
    create(tmp_path / "linked", "vae")
    assert len(list(outside.glob("vae/*"))) == 1


@pytest.mark.parametrize("out", ["a\0b", "x" * 300])
def test_an_impossible_output_folder_is_refused(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*TINY, "--out", out]) == 2
    assert "the folder of runs must be" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x" * 300, "no\0such", "../nothing", "", "no-such-run"])
def test_a_run_that_is_none_is_a_clean_error(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["runs", "show", name], ["run", "--resume", name], ["sample", name], ["runs", "rm", name, "--yes"]):
        assert execute(command) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_rm_removes_a_run_and_refuses_everything_else(
    tmp_path: Path, copy: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", str(tmp_path / "runs"), "--yes"]
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "thesis.txt").write_text("kept", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(copy.path)
    for name in (keep, keep / "thesis.txt", tmp_path, tmp_path / "runs", copy.path.parent, copy.figures, link):
        assert execute(["runs", "rm", str(name), *out]) == 2, name
    assert execute(["runs", "rm", "zoo:anything", *out]) == 2
    monkeypatch.chdir(copy.figures)
    assert execute(["runs", "rm", str(copy.path), *out]) == 2
    monkeypatch.chdir(tmp_path)
    with copy.locked():
        assert execute(["runs", "rm", "last", *out]) == 6
    assert (keep / "thesis.txt").read_text(encoding="utf-8") == "kept"
    assert copy.record()["status"] == "finished"
    assert "nothing was removed" in capsys.readouterr().err
    assert execute(["runs", "rm", "last", *out]) == 0
    assert not copy.path.exists()
    assert (tmp_path / "runs" / "vae").is_dir()


def test_rm_asks_first(copy: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    execute(["runs", "rm", str(copy.path)])
    assert copy.path.exists()


def test_before_the_first_checkpoint_there_is_nothing_to_look_at(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copy.checkpoints)
    copy.checkpoints.mkdir()
    target = str(tmp_path / "codes.npz")
    for command in (["viz", "samples"], ["eval", "elbo"], ["sample"], ["encode", "--out", target]):
        assert execute([command[0], str(copy.path), *command[1:]]) == 2
        assert "has no checkpoint yet" in capsys.readouterr().err
    assert not Path(target).exists()


@pytest.mark.parametrize(("status", "said"), [("failed", "This run failed"), ("interrupted", "was interrupted")])
def test_a_run_that_did_not_finish_is_used_from_its_last_checkpoint_and_it_is_said(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, said: str
) -> None:
    copy.update_record(status=status)
    assert execute(["sample", str(copy.path), "-n", "2", "--out", str(tmp_path / "samples.npz")]) == 0
    err = capsys.readouterr().err
    assert said in err
    assert "step-1" in err
    assert (tmp_path / "samples.npz").stat().st_size > 0


def test_a_run_that_died_is_listed_as_stopped(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    copy.update_record(status="running")
    out = str(copy.path.parent.parent)
    assert execute(["runs", "list", "--out", out]) == 0
    assert "stopped" in capsys.readouterr().out
    with copy.locked():
        execute(["runs", "list", "--out", out])
    assert "running" in capsys.readouterr().out


def test_a_run_of_a_newer_schema_is_refused(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    copy.update_record(schema=99)
    assert execute(["runs", "show", str(copy.path)]) == 2
    assert execute(["run", "--resume", str(copy.path)]) == 2
    assert "schema of" in capsys.readouterr().err


def test_plugins_at_another_version_are_warned_of_and_recorded(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    components = copy.record()["components"]
    components["network"]["version"] = "0.0.1"
    copy.update_record(components=components)
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 0
    assert "network mlp: the run was made with genzoo-networks 0.0.1" in capsys.readouterr().err
    assert any("0.0.1" in warning for warning in copy.record()["resumed"][-1]["warnings"])


def test_a_run_whose_plugin_is_gone_is_exit_3(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    copy.config_file.write_text(
        copy.config_file.read_text(encoding="utf-8").replace('name = "mlp"', 'name = "gone"'), encoding="utf-8"
    )
    assert execute(["run", "--resume", str(copy.path)]) == 3
    assert execute(["sample", str(copy.path)]) == 3
    assert "gone" in capsys.readouterr().err


def test_the_environment_names_the_folder_of_runs(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENZOO_RUNS", os.fspath(copy.path.parent.parent))
    assert execute(["runs", "show", "last"]) == 0
    assert copy.path.name in capsys.readouterr().out
