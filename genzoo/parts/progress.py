"""Progress of long work on stderr: one live line with a bar on a terminal, plain lines elsewhere.

Imports no torch, and rich only where stderr is a terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from genzoo.text import bare, before_text, one_line, visible

QUIET_SECONDS = 30.0
"""Seconds between two lines where there is no terminal."""

LIVE_SECONDS = 0.2
"""Seconds between two changes of the line on a terminal."""

NARROW, WIDE = 8, 30
"""Cells of the bar, at least and at most; it takes a quarter of the terminal."""


class LiveLine:
    """One line at the bottom of a terminal that is replaced in place. Off a terminal it shows nothing.

    Other text on stdout or stderr removes the line first, so that the two never share a line. The cursor stays visible
    and no thread draws: a process that dies leaves a clean terminal. Colours follow ``NO_COLOR`` and ``TERM``.
    """

    def __init__(self) -> None:
        stream: TextIO | None = sys.stderr
        self.on_terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._cells = 0
        self._stream: TextIO | None = None  # that the line is on

    def show(self, fields: Sequence[str], share: float | None = None) -> None:
        """Replace the line.

        Args:
            fields: What it says, the most important first. Those that do not fit are left out.
            share: The part that is done, in [0, 1], shown as a bar before the fields; None shows no bar.
        """
        if not self.on_terminal:
            return
        if self.clear not in before_text:
            clear_live_line()
        columns = max(shutil.get_terminal_size().columns - 1, 1)
        text, cells = _laid_out(fields, share, columns)
        before = self._cells if self._stream is bare(sys.stderr) else 0
        self._stream = bare(sys.stderr)
        self._write("\r" + text + " " * max(0, before - cells))
        self._cells = cells
        before_text[:] = [self.clear]

    def clear(self) -> None:
        """Remove the line."""
        if self._cells and self._stream is bare(sys.stderr):
            self._write("\r" + " " * self._cells + "\r")
        self._cells = 0
        if self.clear in before_text:
            before_text.clear()

    def _write(self, text: str) -> None:
        """Write what was laid out here, colours included, past what makes control codes visible."""
        if self._stream is not None:
            _write(self._stream, text)


def clear_live_line() -> None:
    """Remove the line that is shown now, whoever shows it."""
    if before_text:
        before_text[0]()


def _laid_out(fields: Sequence[str], share: float | None, columns: int) -> tuple[str, int]:
    """The line with its colours, and how many cells of the terminal it takes."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = 0 if share is None else min(WIDE, max(NARROW, (columns + 1) // 4))
    gap = 2 if columns >= 60 else 1
    shown, cells = [one_line(fields[0])], bar + gap * bool(bar) + cell_len(one_line(fields[0]))
    for field in map(one_line, fields[1:]):
        if cells + gap + cell_len(field) > columns:
            break
        shown.append(field)
        cells += gap + cell_len(field)
    text = (" " * gap).join(shown)
    if cells > columns:
        bar = 0 if bar + gap >= columns else bar
        room = columns - (bar + gap if bar else 0)
        text, cells = set_cell_size(text, room), columns
    stream = bare(sys.stderr)
    console = Console(file=stream, force_terminal=True, width=columns + 1, highlight=False, markup=False, emoji=False)
    if console.legacy_windows:
        console = Console(file=stream, width=columns + 1, color_system=None, highlight=False, markup=False, emoji=False)
    grid = Table.grid(padding=(0, gap, 0, 0))
    row = [Text(text, no_wrap=True)]
    if bar:
        drawn = ProgressBar(
            1.0, min(max(share or 0.0, 0.0), 1.0), width=bar, complete_style="cyan", style="bright_black"
        )
        grid.add_row(drawn, *row)
    else:
        grid.add_row(*row)
    with console.capture() as captured:
        console.print(grid, end="")
    return captured.get().strip("\n"), cells


class ProgressLine:
    """Tells on stderr how far some work is, and when it will be done.

    Args:
        title: What is done, such as ``"image-folder: decoding"``.
        total: How many there are.
        done: How many were done before.
        unit: What is counted, in the plural.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "images") -> None:
        self._line = LiveLine()
        self._title, self._total, self._unit = one_line(title), total, one_line(unit)
        self._before = self._done = done
        self._began = self._spoke = time.monotonic()

    def update(self, done: int) -> None:
        """So many are done now."""
        self._done = done
        now = time.monotonic()
        if now - self._spoke < (LIVE_SECONDS if self._line.on_terminal else QUIET_SECONDS):
            return
        self._spoke = now
        count, speed, eta = f"{done:,} of {self._total:,} {self._unit}", self._speed(), f"ETA {self._left()}"
        if self._line.on_terminal:
            self._line.show([eta, self._title, count, speed], done / max(self._total, 1))
        else:
            write_to_stderr(f"{self._title}: {count}, {speed}, {eta}\n")

    def line(self, text: str) -> None:
        """Say something else on a line of its own."""
        self._line.clear()
        write_to_stderr(one_line(text) + "\n")

    def close(self) -> None:
        """Leave a clean line, and say how long it took if all is done."""
        self._line.clear()
        if self._done >= self._total:
            seconds = time.monotonic() - self._began
            write_to_stderr(f"{self._title}: {self._total:,} {self._unit} in {duration(seconds)}, {self._speed()}.\n")

    def _speed(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        return f"{(self._done - self._before) / seconds:,.0f} {self._unit}/s"

    def _left(self) -> str:
        counted = self._done - self._before
        seconds = (time.monotonic() - self._began) / max(counted, 1) * (self._total - self._done)
        return duration(seconds) if counted else "unknown"


def write_to_stderr(text: str) -> None:
    """Write what people watch: control codes as escapes, unknown characters as ``?``, nothing where stderr is gone."""
    stream: TextIO | None = sys.stderr
    if stream is not None:
        _write(stream, visible(text, keep="\n\r"))


def _write(stream: TextIO, text: str) -> None:
    try:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, errors="replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):
        # Whoever read stderr is gone; the work goes on.
        pass


def duration(seconds: float) -> str:
    """A time span as ``4:05`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
