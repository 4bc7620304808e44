"""What a person sees while something runs: a bar on a terminal, whatever its width, and clean lines around it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from genzoo.compose.plan import plan
from genzoo.engine.listener import Tick
from genzoo.host.plugin_host import host
from genzoo.recipe import Part, Recipe
from genzoo.runs.reports import OF_LOSSES
from genzoo.text import visible_streams
from genzoo.training.console import ConsoleListener


class Terminal:
    """A stream that is a terminal and keeps each text that is written."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (40, 3),  # the bar, ETA and the epoch
        (80, 5),
        (120, 7),
    ],
)
def test_a_terminal_shows_a_bar_and_as_much_as_it_has_room_for(
    columns: int, fields: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    means = {"distortion": 140.0, "rate": 6.0, "elbo": -146.0}
    ConsoleListener().tick(Tick(15, 30, 469, 469, 20000.0, {"beta": 0.1}, means, OF_LOSSES))
    line = uncoloured("".join(stream.written)).strip("\r")
    assert "\x1b[" in "".join(stream.written)
    assert len(line) < columns
    bar, eta, *rest = re.split(r" (?=ETA|epoch|elbo|rate|distortion|beta|step)|  ", line)
    shown = [part.strip() for part in rest if part.strip()]
    everything = ["epoch 15/30", "elbo -146.00", "rate 6.00", "distortion 140.00", "beta 0.10", "20,000 images/s"]
    assert eta.startswith("ETA ")
    assert len(bar) == max(8, min(30, columns // 4))
    assert shown[: len(everything)] == everything[: fields - 2]


def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    ConsoleListener().tick(Tick(1, 30, 20, 469, 20000.0, {}, {}, OF_LOSSES))
    assert "\x1b[3" not in "".join(stream.written)
    stream.written.clear()
    monkeypatch.setenv("TERM", "dumb")
    listener = ConsoleListener()
    listener.tick(Tick(1, 30, 20, 469, 20000.0, {}, {}, OF_LOSSES))
    listener.note("a line")
    assert stream.written == ["a line\n"]


def test_other_text_takes_the_bar_off_the_terminal_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with visible_streams():
        listener = ConsoleListener()
        listener.tick(Tick(1, 30, 20, 469, 20000.0, {}, {}, OF_LOSSES))
        sys.stderr.write("from a plugin\n")
        sys.stderr.write("and more\n")
    cleared = re.fullmatch(r"\r +\r", stream.written[-3])
    assert cleared is not None
    assert stream.written[-2:] == ["from a plugin\n", "and more\n"]


def test_the_bar_is_over_all_stages_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float | None] = []
    monkeypatch.setattr("genzoo.parts.progress.LiveLine.show", lambda _, fields, share=None: shares.append(share))
    monkeypatch.setattr(sys, "stderr", Terminal())
    facts = {"parameters": {"total": 1}, "images": {"train": 160}, "stages": 2, "fit_epochs": 3, "resumed_at": 0}
    settings = {"device": "cpu", "precision": "fp32", "threads": 1}
    listener = ConsoleListener()
    listener.started(Path("run"), plan(Recipe(model=Part(name="vae"), train={"epochs": 9}), host()), settings, facts)
    listener.tick(Tick(9, 9, 10, 10, 1.0, {}, {}, ()))
    listener.tick(Tick(1, 3, 10, 10, 1.0, {}, {}, (), stage="prior"))
    assert shares == [90 / 120, 100 / 120]


def test_something_is_said_before_anything_heavy_is_imported() -> None:
    script = (
        "import sys; from genzoo.cli import console\n"
        "def seen(text):\n"
        "    sys.exit(0 if 'torch' not in sys.modules and 'PyTorch' in text else 1)\n"
        "console.passing = seen\n"
        "from genzoo.cli import execute; execute(['run', 'vae'])"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 0
