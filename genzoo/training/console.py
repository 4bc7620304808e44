"""Progress of a run on stderr: one live line with a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.engine.listener import Listener
from genzoo.parts.progress import LiveLine, duration, write_to_stderr
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
        self._live = LiveLine()
        self._spoke = time.monotonic()
        self._began = time.monotonic()
        self._first_epoch = 1
        self._stage = ""
        self._fit_epochs = 0
        self._drawn = False
        self._trained = self._stage_steps = 0
        self._last: tuple[list[str], float] | None = None

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
                self._trained = self._stage_steps
            self._stage, self._first_epoch = tick.stage, tick.epoch
        if not self._live.on_terminal and time.monotonic() - self._spoke < QUIET_SECONDS:
            return
        done, left = self._steps(tick)
        before = (self._first_epoch - 1) * tick.steps_per_epoch
        eta = f"ETA {duration((time.monotonic() - self._began) / max(done - before, 1) * left)}"
        epoch = f"{_word(tick.stage)} {tick.epoch}/{tick.epochs}"
        step = f"step {tick.step_in_epoch}/{tick.steps_per_epoch}"
        numbers = _each_number(tick.means, tick.reports)
        beta = [f"beta {tick.values['beta']:.2f}"] if "beta" in tick.values else []
        speed = f"{tick.images_per_second:,.0f} images/s"
        if self._live.on_terminal:
            # The first that is left out is the least: what is measured comes before how fast.
            share = (self._trained + done) / max(self._trained + done + left, 1)
            self._last = [eta, epoch, *reversed(numbers), *beta, speed, step], share
            self._live.show(*self._last)
        else:
            self._line("  ".join([epoch, step, " ".join(numbers), *beta, speed, eta]))

    def epoch(self, row: dict[str, Any], stage: Stage) -> None:
        reports = stage.objective.reports
        beta = row["quantities"].get("beta")
        speed = row.get("images_per_second")
        number, later = row.get("prior_epoch", row["epoch"]), self._fit_epochs and stage.plan.name == "train"
        self._line(
            f"{_word(stage.plan.name)} {number}/{stage.epochs}  "
            f"train {_numbers(row['train'], reports)}"
            + (f"  |  test {_numbers(row['test'], reports)}" if "test" in row else "")
            + (f"  beta {beta:.2f}" if beta is not None else "")
            + f"  {row['seconds']:.1f} s"
            + (f", {speed:,.0f} images/s" if speed else "")
        )
        if not later and number == stage.epochs:
            self._live.clear()
            self._last = None

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

    def _steps(self, tick: Tick) -> tuple[int, int]:
        """Steps of this stage that are done, and steps that are left in this and the next."""
        later = self._fit_epochs if tick.stage == "train" else 0
        self._stage_steps = tick.epochs * tick.steps_per_epoch
        done = (tick.epoch - 1) * tick.steps_per_epoch + tick.step_in_epoch
        return done, self._stage_steps + later * tick.steps_per_epoch - done

    def _line(self, text: str) -> None:
        self._live.clear()
        self._spoke = time.monotonic()
        write_to_stderr(one_line(text) + "\n")
        if self._last is not None and self._last[1] < 1:
            self._live.show(*self._last)


def _word(stage: str) -> str:
    """What a line calls an epoch of a stage."""
    return "epoch" if stage == "train" else stage


def _numbers(means: Mapping[str, Any], reports: Sequence[Report]) -> str:
    return " ".join(_each_number(means, reports))


def _each_number(means: Mapping[str, Any], reports: Sequence[Report]) -> list[str]:
    shown = [report.name for report in reports if report.shown and isinstance(means.get(report.name), int | float)]
    return [f"{name} {means[name]:z.2f}" for name in shown]
