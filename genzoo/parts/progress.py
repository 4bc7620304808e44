"""Progress of long work that is done before a run has its folder: one live line on a terminal, plain lines elsewhere.

Imports no torch.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from genzoo.text import one_line, visible

QUIET_SECONDS = 30.0
"""Seconds between two lines where there is no terminal."""

LIVE_SECONDS = 0.2
"""Seconds between two changes of the line on a terminal."""


class ProgressLine:
    """Tells on stderr how far some work is, and when it will be done.

    Args:
        title: What is done, such as ``"image-folder: decoding"``.
        total: How many there are.
        done: How many were done before.
        unit: What is counted, in the plural.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "images") -> None:
        stream: TextIO | None = sys.stderr
        self._live = stream is not None and stream.isatty()
        self._title, self._total, self._unit = one_line(title), total, one_line(unit)
        self._before = self._done = done
        self._began = self._spoke = time.monotonic()
        self._width = 0

    def update(self, done: int) -> None:
        """So many are done now."""
        self._done = done
        now = time.monotonic()
        if now - self._spoke < (LIVE_SECONDS if self._live else QUIET_SECONDS):
            return
        self._spoke = now
        text = f"{self._title}: {done:,} of {self._total:,} {self._unit}, {self._speed()}, ETA {self._left()}"
        if self._live:
            self._show(text)
        else:
            write_to_stderr(text + "\n")

    def line(self, text: str) -> None:
        """Say something else on a line of its own."""
        self._clear()
        write_to_stderr(one_line(text) + "\n")

    def close(self) -> None:
        """Leave a clean line, and say how long it took if all is done."""
        self._clear()
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

    def _show(self, text: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        text = text[:columns]
        write_to_stderr("\r" + text.ljust(min(self._width, columns)))
        self._width = len(text)

    def _clear(self) -> None:
        if self._width:
            write_to_stderr("\r" + " " * self._width + "\r")
            self._width = 0


def write_to_stderr(text: str) -> None:
    """Write what people watch: control codes as escapes, unknown characters as ``?``, nothing where stderr is gone."""
    stream: TextIO | None = sys.stderr
    if stream is None:
        return
    try:
        encoding = stream.encoding or "ascii"
        stream.write(visible(text, keep="\n\r").encode(encoding, errors="replace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):
        # Whoever read stderr is gone; the work goes on.
        pass


def duration(seconds: float) -> str:
    """A time span as ``4:05`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
