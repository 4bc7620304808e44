"""What the commands share for talking to a terminal: lines, tables that fit it, JSON, and warnings on stderr.

The commands print through `say`, `show` and `print_json` alone, so that no text from outside can command a terminal.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

from genzoo.errors import UsageError
from genzoo.launched import launched
from genzoo.parts.progress import LiveLine, clear_live_line
from genzoo.plain import plain
from genzoo.process import tell_of_home_once
from genzoo.text import bare, json_text, one_line, visible

NARROWEST_COLUMN = 16
"""Where the last column of a table would get less than this, each row is stacked instead."""


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is now, one line a record: ``Warning: …``."""

    def __init__(self) -> None:
        logging.Handler.__init__(self, logging.WARNING)

    @property
    def stream(self) -> TextIO:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        return one_line(f"{record.levelname.capitalize()}: {record.getMessage()}")


def log_to_stderr() -> None:
    """Shows genzoo's warnings on stderr, each one line."""
    tell_of_home_once()
    logger = logging.getLogger("genzoo")
    if not speaks():
        logger.addHandler(logging.NullHandler())
    elif not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


def speaks(*, on_each_machine: bool = False) -> bool:
    """Whether this process is the one that speaks for all of a run that ``torchrun`` started; true without it.

    Args:
        on_each_machine: Whether one speaks on each machine, of what may differ between them.
    """
    try:
        several = launched()
    except UsageError:  # Which is to be told.
        return True
    return several is None or (several.local_rank if on_each_machine else several.rank) == 0


def say(text: str = "", *, err: bool = False) -> None:
    """Prints one line; what the text holds of line breaks and control characters is shown, not obeyed."""
    click.echo(one_line(text), err=err)


_passing: list[LiveLine] = []


def passing(text: str) -> None:
    """Shows a line on stderr until anything else is printed, where stderr is a terminal; an empty text removes it."""
    while _passing:
        _passing.pop().clear()
    if text and speaks():
        _passing.append(LiveLine())
        _passing[0].show([text])


def show(block: str, *, err: bool = False, style: str = "") -> None:
    """Prints a block that was laid out in lines, such as a `table`.

    Args:
        block: The lines.
        err: Whether they go to stderr.
        style: How rich names a colour, such as ``"green"``. It is used on a terminal, unless ``NO_COLOR`` is set.
    """
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if not style or stream is None or not stream.isatty():
        click.echo(visible(block), err=err)
        return
    from rich.console import Console
    from rich.text import Text

    clear_live_line()
    Console(file=bare(stream), highlight=False, markup=False, emoji=False).print(
        Text(visible(block)), style=style, soft_wrap=True
    )


def width() -> int | None:
    """Columns of the terminal that stdout is, or None where stdout is a file or a pipe and lines need no folding."""
    stream: TextIO | None = sys.stdout  # None where it was closed.
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None = None) -> str:
    """Rows under headers, the last column folded to fit.

    Args:
        headers: One a column.
        rows: One string a column.
        columns: Width to fit; no folding when None.

    Returns:
        The lines, without a last newline.

    Example:
        >>> print(table(["kind", "name"], [["model", "vae"], ["loss", "elbo"]]))
        kind   name
        model  vae
        loss   elbo
    """
    everything = [[one_line(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[i]) for row in everything) for i in range(len(headers))]
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    if columns is not None and columns - left < min(NARROWEST_COLUMN, widths[-1]):
        return "\n".join(_stacked(row, columns) for row in everything[1:])
    lines: list[str] = []
    for row in everything:
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(row[:-1], widths[:-1], strict=True))
        folded = [row[-1]] if columns is None else textwrap.wrap(row[-1], max(columns - left, 1)) or [""]
        lines.append(f"{start}{folded[0]}".rstrip())
        lines += [f"{' ' * left}{line}" for line in folded[1:]]
    return "\n".join(lines)


def paragraph(text: str, columns: int | None = None, indent: str = "") -> str:
    """Text folded to ``columns``, every line indented; one line when ``columns`` is None."""
    text = one_line(text)
    if columns is None:
        return f"{indent}{text}"
    return textwrap.fill(text, max(columns, len(indent) + 10), initial_indent=indent, subsequent_indent=indent)


def numbers(result: Mapping[str, Any]) -> str:
    """A metric's numbers as run.json has them, each with its unit.

    Example:
        >>> numbers({"values": {"nll": 97.1, "share": 0.5}, "unit": "nats", "units": {"nll": "nats", "share": ""}})
        'nll 97.1 nats, share 0.5'
    """
    units = result.get("units", {})
    return ", ".join(
        f"{name} {value:.5g} {units.get(name, result.get('unit', ''))}".rstrip()
        for name, value in result.get("values", {}).items()
    )


def print_json(value: Any) -> None:
    """Prints a value as JSON that any parser reads: NaN and infinities as null, ASCII where stdout cannot do more."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    click.echo(json_text(json.dumps(plain(value), indent=2, ensure_ascii=not unicode, allow_nan=False)))


def print_json_line(value: Any) -> None:
    """Prints a value as one line of JSON, at once; see `print_json`."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    click.echo(json_text(json.dumps(plain(value), ensure_ascii=not unicode, allow_nan=False)))
    sys.stdout.flush()


def _stacked(row: Sequence[str], columns: int) -> str:
    first = paragraph("  ".join(cell for cell in row[:-1] if cell), columns)
    return f"{first}\n{paragraph(row[-1], columns, '    ')}" if row[-1] else first
