"""Who is told how a run goes. Every method is empty: a listener overrides those that it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.types import Report

if TYPE_CHECKING:
    from genzoo.compose.plan import Plan
    from genzoo.engine.stage import Stage
    from genzoo.engine.train import Trainer


@dataclass(frozen=True)
class Tick:
    """Progress for a person to watch: where a stage is and what the epoch's running means are.

    Args:
        epoch, epochs, step_in_epoch, steps_per_epoch: Of the stage.
        images_per_second: Since the epoch began.
        values: The scheduled quantities now.
        means: As in a row of metrics.jsonl.
        reports: What of ``means`` is worth showing.
        stage: Its name.
    """

    epoch: int
    epochs: int
    step_in_epoch: int
    steps_per_epoch: int
    images_per_second: float
    values: Mapping[str, float]
    means: Mapping[str, Any]
    reports: Sequence[Report]
    stage: str = "train"


class Listener:
    """Silent. The job keeps what training makes; the command line and notebooks show it."""

    def started(self, folder: Path, plan: Plan, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """The run has its folder and is about to train; facts: parameters, images, stages, fit_epochs (of the
        second stage, 0 without one), resumed_at."""

    def tick(self, tick: Tick) -> None:
        """At most a few times per second while training."""

    def epoch(self, row: dict[str, Any], stage: Stage) -> None:
        """A stage trained and evaluated an epoch; the row is one line of metrics.jsonl."""

    def epoch_over(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After an epoch and its checkpoint: the time for figures, and for all that may fail or end the process."""

    def fitted(self, row: dict[str, Any]) -> None:
        """The prior is fitted; the row is the test split evaluated again."""

    def save(self, trainer: Trainer, *, best: bool) -> None:
        """Time for a checkpoint; ``best`` if the held-out headline is the best so far."""

    def best_checkpoint(self) -> Path | None:
        """The checkpoint that a second stage starts from, where one was chosen."""

    def figures(self, results: Mapping[str, Any], folder: Path) -> None:
        """Figures were drawn."""

    def note(self, text: str) -> None:
        """Something worth saying."""

    def warn(self, text: str) -> None:
        """Something worth a warning."""
