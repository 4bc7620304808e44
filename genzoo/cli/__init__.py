"""The command line: ``main``, the lazily loaded commands, and how an error becomes one sentence and an exit code.

Importing this module imports click and nothing else that is heavy; a command's module is imported when the command
runs, so that ``genzoo --help`` is as quick as click.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from genzoo import __version__
from genzoo.errors import (
    DivergedError,
    GenzooError,
    Interrupted,
    PluginError,
    UsageError,
    WorkerLost,
    describe,
    is_out_of_memory,
)
from genzoo.process import without_window
from genzoo.text import one_line, visible_streams


class Entry(NamedTuple):
    """Where a command lives and its one line of help, so that ``genzoo --help`` need not import it."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("genzoo.cli.run", "Train a model composed from plugins, and draw its figures."),
    "list": Entry("genzoo.cli.listing", "List the plugins that are installed."),
    "info": Entry("genzoo.cli.info", "Show a plugin's options, origin and paper."),
    "search": Entry("genzoo.cli.search", "Search the catalogue of known plugins."),
    "refit": Entry("genzoo.cli.refit", "Fit another prior to a finished run, as a new run."),
    "viz": Entry("genzoo.cli.use", "Draw figures of a run."),
    "eval": Entry("genzoo.cli.use", "Compute metrics of a run."),
    "report": Entry("genzoo.cli.report", "Write one page about runs, with the model itself to try."),
    "export": Entry("genzoo.cli.export", "Write a trained model for use without genzoo, or for a hub."),
    "sample": Entry("genzoo.cli.use", "Draw samples from a trained model."),
    "encode": Entry("genzoo.cli.use", "Write the codes of a dataset's images."),
    "runs": Entry("genzoo.cli.runs", "List, show, compare, record and remove runs."),
    "recipe": Entry("genzoo.cli.recipes", "List, show and write recipes."),
    "reproduce": Entry("genzoo.cli.recipes", "Measure a published table: expected beside measured."),
    "new": Entry("genzoo.cli.new", "Make a plugin distribution that passes its checks."),
    "check": Entry("genzoo.cli.check", "Run the contract checks on a plugin."),
    "registry": Entry("genzoo.cli.registry", "Check the catalogue, and verify what it lists."),
    "completion": Entry("genzoo.cli.completion", "Print what makes Tab complete genzoo in a shell."),
    "doctor": Entry("genzoo.cli.doctor", "Show what is installed, slow, broken, and why."),
}
"""Command name → its module, which holds a click command of that name, and the first line of its help."""

SIGPIPE_EXIT = 141
"""What a shell reports of a program that a closed pipe ended."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group.list_commands`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group.get_command`."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            module = import_module(entry.module)
        except ModuleNotFoundError as error:
            if error.name != entry.module:
                raise
            raise GenzooError(f"genzoo {cmd_name}: this genzoo, {__version__}, has no such command yet.") from None
        for value in vars(module).values():
            if isinstance(value, click.Command) and value.name == cmd_name:
                value.short_help = entry.help
                return _with_debug(value)
        raise GenzooError(f"genzoo {cmd_name}: {entry.module} defines no command of that name.")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See `click.Group.resolve_command`."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from genzoo.cli import suggest

            guess = suggest.command(args[0], COMMANDS) or "See `genzoo --help`."
            raise UsageError(f"There is no command {args[0]!r}.", guess)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group.format_commands`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: genzoo run vae --scheduler linear-warmup --viz traversal",
)
@click.version_option(__version__, prog_name="genzoo", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """A zoo of generative models for PyTorch, every part of it a plugin."""
    from genzoo.cli import console

    console.log_to_stderr()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with the code of what happened.

    Args:
        arguments: The words after ``genzoo``; those of this process by default.
    """
    code = execute(sys.argv[1:] if arguments is None else arguments)
    guard = sys.modules.get("genzoo.host.guard")
    if guard is not None:
        guard.end_beside_threads(code)
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Runs one command line in this process.

    Args:
        arguments: The words after ``genzoo``.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    if "_GENZOO_COMPLETE" in os.environ:
        from genzoo.cli.completing import answer

        return answer(os.environ["_GENZOO_COMPLETE"])
    with visible_streams():
        return _execute(arguments)


def _execute(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments
    try:
        with without_window():
            code = _invoke(list(arguments))
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] None where it was closed
            sys.stdout.flush()
    except BrokenPipeError:
        return _after_closed_pipe()
    except BaseException as error:
        return _report(error, debug)
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with cli.make_context("genzoo", arguments, terminal_width=_help_width()) as context:
            cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except SystemExit as done:
        if done.code is None or isinstance(done.code, int):
            return done.code or 0
        raise
    return 0


def _help_width() -> int | None:
    """Width of help texts on a narrow terminal, which click would exceed; None leaves it to click."""
    columns = shutil.get_terminal_size().columns
    return columns - 2 if columns < 52 else None


def _report(error: BaseException, debug: bool) -> int:
    """Prints an error as one sentence and its next step, and returns its exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if not _speaks_of(error):
        return getattr(error, "exit_code", 1)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a bare `genzoo`, or a bare group
        click.echo(error.format_message())
        return 0
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "genzoo"
        return _print(error.format_message(), f"See `{path} --help`.", 2)
    if isinstance(error, click.ClickException):
        return _print(error.format_message(), "", error.exit_code)
    if isinstance(error, Interrupted):
        _tell(str(error))
        return error.exit_code
    if isinstance(error, GenzooError):
        return _print(error.message, error.hint, error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _tell("Interrupted.")
        return 130
    if is_out_of_memory(error):
        return _print("memory ran out.", "Try fewer images at a time or a smaller model; close other programs.", 1)
    if isinstance(error, OSError) and _is_storage(error):
        return _print(str(error), "Free or choose another disk, and try again.", 7)
    if isinstance(error, OSError) and error.filename is not None and _is_of_a_name(error):
        return _print(f"{describe(error)}.", "Name another file or folder, or change what it allows.", 2)
    if isinstance(error, ModuleNotFoundError) and (package := _required(error.name)):
        return _print(f"genzoo needs {package}, which is not installed.", f"Install it: pip install '{package}'", 3)
    where = "" if debug else "This is a defect of genzoo or of a plugin; add --debug for the traceback."
    return _print(describe(error), where, 1)


def _speaks_of(error: BaseException) -> bool:
    """Whether this process tells of an error that all processes of a run under ``torchrun`` come to alike."""
    from genzoo.cli import console

    if isinstance(error, (Interrupted, DivergedError, WorkerLost)):
        return console.speaks()
    if isinstance(error, (UsageError, PluginError, click.ClickException)):
        return console.speaks(on_each_machine=True)
    return True


def _print(message: str, hint: str, code: int) -> int:
    _tell(f"Error: {message}", *([hint] if hint else []))
    return code


def _required(module: str | None) -> str:
    """What genzoo requires by the name of a module that is not there; empty where the module is none of those."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires("genzoo") or []
    except PackageNotFoundError:
        lines = []
    name = (module or "").partition(".")[0].replace("_", "-")
    return next((line for line in lines if ";" not in line and re.split(r"[^\w-]", line)[0] == name), "")


def _tell(*lines: str) -> None:
    """Say some lines at once, since `torchrun` may end this process between two writes."""
    with suppress(OSError):  # The terminal may be closed, and the exit code tells it all the same.
        click.echo("\n".join(one_line(text) for text in lines), err=True)


def _is_storage(error: OSError) -> bool:
    import errno

    return error.errno in {errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT}


def _is_of_a_name(error: OSError) -> bool:
    """Whether the system refuses a file or folder for what it is called, what it is, or who may read it."""
    import errno

    names = ("EACCES", "EPERM", "ELOOP", "ENAMETOOLONG", "ENOTDIR", "EISDIR", "EILSEQ", "EMFILE", "ENFILE", "ETXTBSY")
    return error.errno in {getattr(errno, name) for name in names if hasattr(errno, name)}


def _after_closed_pipe() -> int:
    """Points stdout at nothing, so that the interpreter's last flush is silent too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return SIGPIPE_EXIT


def _with_debug(command: click.Command) -> click.Command:
    """The command, and the commands below it, with a ``--debug`` of their own."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        option = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _with_debug(below)
    return command
