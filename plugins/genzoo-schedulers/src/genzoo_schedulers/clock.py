"""Time as a schedule that starts at its start value reads it: nothing has been done in the first step. No torch."""

from __future__ import annotations

from typing import Literal

from genzoo.interfaces import Progress

Unit = Literal["epoch", "step"]


def done_before(progress: Progress, unit: Unit) -> tuple[int, int]:
    """How many epochs or steps were done before this one, and how many the run has."""
    if unit == "epoch":
        return progress.epoch - 1, progress.epochs
    return progress.step, progress.total_steps


def epochs_before(progress: Progress, unit: Unit) -> float:
    """Epochs done before this epoch or step, fractional for a step."""
    return progress.epoch - 1 if unit == "epoch" else progress.step / progress.steps_per_epoch
