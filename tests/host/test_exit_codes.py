"""Every error becomes one sentence on stderr and the exit code that the manual states."""

from __future__ import annotations

import errno
import signal
import sys
from types import ModuleType

import click
import pytest

from genzoo import cli, errors
from genzoo.cli import Entry, execute


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch):
    """Makes a command ``boom`` that raises what it is given."""

    def make(error: BaseException) -> None:
        @click.command("boom")
        def command() -> None:
            """Raise."""
            click.echo("a result")
            raise error

        module = ModuleType("genzoo_test_boom")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "boom", Entry(module.__name__, "Raise."))

    return make


@pytest.mark.parametrize(
    ("error", "code", "stderr"),
    [
        (errors.GenzooError("It failed.", "Try that."), 1, "Error: It failed.\nTry that.\n"),
        (errors.UsageError("It failed."), 2, "Error: It failed.\n"),
        (errors.IncompatibleError("It failed."), 2, "Error: It failed.\n"),
        (errors.PluginError("It failed."), 3, "Error: It failed.\n"),
        (errors.CorruptError("It failed."), 4, "Error: It failed.\n"),
        (errors.DivergedError("It failed."), 5, "Error: It failed.\n"),
        (errors.RunExistsError("It failed."), 6, "Error: It failed.\n"),
        (errors.StorageError("It failed."), 7, "Error: It failed.\n"),
        (errors.Interrupted(signal.SIGINT, "Saved.", "Go on so."), 130, "Saved. Go on so.\n"),
        (errors.Interrupted(signal.SIGTERM, "Saved."), 143, "Saved.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
        (click.BadParameter("too long", param_hint="--name"), 2, None),
        (OSError(errno.ENOSPC, "No space left on device"), 7, None),
        (SystemExit(4), 4, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_each_error_has_its_exit_code(boom, capfd, error: BaseException, code: int, stderr: str | None) -> None:
    boom(error)
    assert execute(["boom"]) == code
    printed = capfd.readouterr()
    assert printed.out == "a result\n"
    assert stderr is None or printed.err == stderr
    assert "Traceback" not in printed.err


def test_an_unexpected_error_is_one_line_and_a_pointer(boom, capfd) -> None:
    boom(ValueError("two\nlines"))
    assert execute(["boom"]) == 1
    assert capfd.readouterr().err == (
        "Error: ValueError: two lines\nThis is a defect of genzoo or of a plugin; add --debug for the traceback.\n"
    )
    boom(ValueError("two\nlines"))
    assert execute(["boom", "--debug"]) == 1
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_a_command_whose_module_is_absent_is_a_clean_error(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setitem(cli.COMMANDS, "later", Entry("genzoo.cli.no_such_module", "Later."))
    assert execute(["later"]) == 1
    assert "has no such command yet" in capfd.readouterr().err


def test_main_exits_with_the_code(boom) -> None:
    boom(errors.StorageError("It failed."))
    with pytest.raises(SystemExit) as caught:
        cli.main(["boom"])
    assert caught.value.code == 7
