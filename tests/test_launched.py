"""What the environment says of several processes is believed only where ``torchrun`` says it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genzoo.cli import console, execute
from genzoo.engine.workers import ALONE, joined
from genzoo.errors import UsageError
from genzoo.launched import Launched, launched

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
ALL = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost"}
STRAY = [
    {"RANK": "1"},
    {"RANK": "x"},
    {"LOCAL_RANK": "3"},
    {"WORLD_SIZE": "2"},
    {"WORLD_SIZE": "many"},
    {"RANK": "1", "WORLD_SIZE": "2"},
    {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
    {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"},
]


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("values", STRAY, ids=str)
def test_a_stray_variable_starts_and_silences_nothing(
    values: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, values)
    assert launched() is None
    assert console.speaks()
    assert console.speaks(on_each_machine=True)
    with joined() as workers:
        assert workers is ALONE
    assert execute(["run", "no-such-model"]) == 3
    assert "no-such-model" in capsys.readouterr().err
    assert execute(["run", "vae", "--lr", "-1"]) == 2
    assert "lr: must be greater than 0" in capsys.readouterr().err


def test_torchrun_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ALL)
    assert launched() == Launched(1, 4, 1)
    assert not console.speaks()
    monkeypatch.setenv("RANK", "0")
    assert console.speaks()
    assert not console.speaks(on_each_machine=True)


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("WORLD_SIZE", "2.0"), ("LOCAL_RANK", "-1"), ("RANK", "9")])
def test_numbers_that_are_none_are_refused_aloud(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given(monkeypatch, {**ALL, name: value})
    with pytest.raises(UsageError, match=name):
        launched()
    run = [
        "run",
        "vae",
        "--data",
        "digits",
        "--limit",
        "8",
        "--network",
        "mlp",
        "--epochs",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert execute(run) == 2
    said = capsys.readouterr().err
    assert f"the environment's {name} must be" in said
    assert value in said


@pytest.mark.parametrize("command", ["run --recipe", "run --resume"])
def test_a_named_pipe_that_nobody_writes_is_not_waited_for(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "recipe.toml")
    assert execute([*command.split(), str(tmp_path / "recipe.toml")]) == 2
    assert "recipe.toml" in capsys.readouterr().err
