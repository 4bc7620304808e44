"""`genzoo runs list` reads a run that has ended once, and what it keeps never tells it anything that is not so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import genzoo
from genzoo import storage
from genzoo.runs import listing
from genzoo.runs.folder import RunFolder
from genzoo.runs.listing import listed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    for beta in (1.0, 2.0, 3.0):
        genzoo.run("vae", data="digits", loss=("elbo", {"beta": beta}), epochs=1, limit=32, out=out, progress=False)
    return out


@pytest.fixture
def root(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "WORTH_KEEPING", 1)
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def told(root: Path) -> list[dict[str, Any]]:
    return listed(root, lambda text: pytest.fail(text))


def index(root: Path) -> Path:
    (found,) = (root.parent / "cache" / "runs").glob("*.json")
    return found


def test_runs_that_have_ended_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = told(root)
    assert [line["differs"] for line in first] == ["loss.beta 1.0", "loss.beta 2.0", "loss.beta 3.0"]
    monkeypatch.setattr(RunFolder, "rows", lambda *_: pytest.fail("a run was read again"))
    monkeypatch.setattr(RunFolder, "record", lambda *_: pytest.fail("a run was read again"))
    assert told(root) == first


@pytest.mark.parametrize("change", ["numbers", "recipe", "status", "removed", "moved", "new"])
def test_what_changes_is_seen(root: Path, change: str) -> None:
    before = told(root)
    run = RunFolder(Path(before[1]["path"]))
    if change == "numbers":
        rows = run.metrics_file.read_text(encoding="utf-8").replace('"epoch": 1', '"epoch": 8', 1)
        storage.replace(run.metrics_file, rows.encode())
        assert told(root)[1]["epoch"] == 8
    elif change == "recipe":
        storage.replace(
            run.config_file, run.config_file.read_text(encoding="utf-8").replace("beta = 2.0", "beta = 7.0").encode()
        )
        assert told(root)[1]["differs"] == "loss.beta 7.0"
    elif change == "status":
        run.update_record(status="failed")
        assert told(root)[1]["status"] == "failed"
    elif change == "removed":
        shutil.rmtree(before[0]["path"])
        assert [line["differs"] for line in told(root)] == ["loss.beta 2.0", "loss.beta 3.0"]
        shutil.rmtree(before[2]["path"])
        assert [line["differs"] for line in told(root)] == [""]
    elif change == "moved":
        shutil.move(run.path, run.path.with_name("20300101T000000Z-000000-moved"))
        assert [line["name"] for line in told(root)][-1] == "20300101T000000Z-000000-moved"
    else:
        shutil.copytree(run.path, run.path.with_name("20300101T000000Z-000000"))
        assert len(told(root)) == 4


def test_runs_that_go_on_or_are_damaged_are_read_each_time(root: Path) -> None:
    running, damaged, _ = (RunFolder(Path(line["path"])) for line in told(root))
    running.update_record(status="running")
    damaged.record_file.write_text("{", encoding="utf-8")
    warnings: list[str] = []
    for _ in range(2):
        lines = listed(root, warnings.append)
        assert [line["status"] for line in lines] == ["stopped", "damaged", "finished"]
    assert len(warnings) == 2
    assert len(json.loads(index(root).read_text(encoding="utf-8"))["runs"]) == 2  # "stopped" is how it ended


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 2}', b'{"format":1,"recipes":{},"runs":{"a":1}}', b"\xff"]
)
def test_an_index_that_is_damaged_is_made_again(root: Path, content: bytes) -> None:
    before = told(root)
    index(root).write_bytes(content)
    assert told(root) == before
    assert json.loads(index(root).read_text(encoding="utf-8"))["format"] == 1


def test_a_stopped_run_that_goes_on_is_seen(root: Path) -> None:
    run = RunFolder(Path(told(root)[0]["path"]))
    run.update_record(status="running")
    assert told(root)[0]["status"] == "stopped"
    with run.locked():
        assert told(root)[0]["status"] == "running"
    assert told(root)[0]["status"] == "stopped"


def test_few_runs_leave_no_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "WORTH_KEEPING", 4)
    assert len(told(root)) == 3
    assert not (root.parent / "cache").exists()


def test_an_index_that_cannot_be_kept_costs_time_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "cache").write_text("a file in the place of the folder", encoding="utf-8")
    assert told(root) == told(root)
    assert len(told(root)) == 3


def test_folders_of_runs_have_an_index_each(root: Path) -> None:
    told(root)
    other = root.with_name("other")
    shutil.copytree(root, other)
    assert [Path(line["path"]).is_relative_to(other) for line in told(other)] == [True] * 3
    assert len([*(root.parent / "cache" / "runs").glob("*.json")]) == 2


def test_a_relative_folder_and_an_absent_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert [Path(line["path"]).is_absolute() for line in told(Path("runs"))] == [False] * 3
    assert told(Path("nowhere")) == []
