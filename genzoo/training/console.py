"""Progress of a run on stderr: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from genzoo.engine.listener import Listener
from genzoo.parts.progress import duration, write_to_stderr
from genzoo.text import one_line

if TYPE_CHECKING:
    from genzoo.compose.plan import Plan
    from genzoo.engine.listener import Tick
    from genzoo.engine.stage import Stage
    from genzoo.types import Report

QUIET_SECONDS = 30.0
"""Seconds between two progress lines within an epoch where there is no terminal."""


class ConsoleListener(Listener):
    """Writes to stderr, which may be closed or narrow."""

    def __init__(self) -> None:
        stream: TextIO | None = sys.stderr
        self._live = stream is not None and stream.isatty()
        self._spoke = time.monotonic()
        self._began = time.monotonic()
        self._first_epoch = 1
        self._stage = ""
        self._fit_epochs = 0
        self._drawn = False
        self._width = 0

    def started(self, folder: Path, plan: Plan, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        images = facts["images"]
        counts = ", ".join(f"{count} {name}" for name, count in images.items())
        self._line(f"{plan.title}: {facts['parameters']['total']:,} parameters; {counts} images.")
        self._line(f"{settings['device']}, {settings['precision']}, {settings['threads']} threads; run folder {folder}")
        self._fit_epochs = facts["fit_epochs"]
        if self._fit_epochs:
            self._line(
                f"Two stages: {plan.train.epochs} epochs of training, then {self._fit_epochs} that fit the prior."
            )
        if facts["resumed_at"]:
            self._line(f"Resuming at step {facts['resumed_at']}.")
        self._began = self._spoke = time.monotonic()

    def tick(self, tick: Tick) -> None:
        if tick.stage != self._stage:
            if self._stage:  # the second stage began after the last line of the first
                self._began = self._spoke
            self._stage, self._first_epoch = tick.stage, tick.epoch
        if not self._live and time.monotonic() - self._spoke < QUIET_SECONDS:
            return
        numbers = _numbers(tick.means, tick.reports)
        beta = f"  beta {tick.values['beta']:.2f}" if "beta" in tick.values else ""
        text = (
            f"{_word(tick.stage)} {tick.epoch}/{tick.epochs}  step {tick.step_in_epoch}/{tick.steps_per_epoch}  "
            f"{numbers}{beta}  {tick.images_per_second:,.0f} images/s  ETA {self._eta(tick)}"
        )
        if self._live:
            self._show(text)
        else:
            self._line(text)

    def epoch(self, row: dict[str, Any], stage: Stage) -> None:
        reports = stage.objective.reports
        beta = row["quantities"].get("beta")
        speed = row.get("images_per_second")
        self._line(
            f"{_word(stage.plan.name)} {row.get('prior_epoch', row['epoch'])}/{stage.epochs}  "
            f"train {_numbers(row['train'], reports)}"
            + (f"  |  test {_numbers(row['test'], reports)}" if "test" in row else "")
            + (f"  beta {beta:.2f}" if beta is not None else "")
            + f"  {row['seconds']:.1f} s"
            + (f", {speed:,.0f} images/s" if speed else "")
        )

    def figures(self, results: Mapping[str, Any], folder: Path) -> None:
        failed = {key: result["error"] for key, result in results.items() if "error" in result}
        for key, error in failed.items():
            self._line(f"Warning: figure {key} failed: {error}")
        if not self._drawn and len(failed) < len(results):
            self._line(f"First figures are in {folder}; they are refreshed as training goes on.")
            self._drawn = True

    def note(self, text: str) -> None:
        self._line(text)

    def warn(self, text: str) -> None:
        self._line(f"Warning: {text}")

    def _eta(self, tick: Tick) -> str:
        done = (tick.epoch - 1) * tick.steps_per_epoch + tick.step_in_epoch
        before = (self._first_epoch - 1) * tick.steps_per_epoch
        later = self._fit_epochs if tick.stage == "train" else 0
        left = (tick.epochs + later) * tick.steps_per_epoch - done
        seconds = (time.monotonic() - self._began) / max(done - before, 1) * left
        return duration(seconds)

    def _show(self, text: str) -> None:
        columns = shutil.get_terminal_size().columns - 1
        text = one_line(text)[:columns]
        write_to_stderr("\r" + text.ljust(min(self._width, columns)))
        self._width = len(text)

    def _line(self, text: str) -> None:
        if self._live and self._width:
            write_to_stderr("\r" + " " * self._width + "\r")
            self._width = 0
        self._spoke = time.monotonic()
        write_to_stderr(one_line(text) + "\n")


def _word(stage: str) -> str:
    """What a line calls an epoch of a stage."""
    return "epoch" if stage == "train" else stage


def _numbers(means: Mapping[str, Any], reports: Sequence[Report]) -> str:
    shown = [report.name for report in reports if report.shown and isinstance(means.get(report.name), int | float)]
    return " ".join(f"{name} {means[name]:z.2f}" for name in shown)
