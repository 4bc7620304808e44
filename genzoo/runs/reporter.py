"""Who is told how a run goes. The base says nothing; the command line and notebooks override what they show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.compose.plan import Plan
    from genzoo.engine.observer import Tick


class Reporter:
    """Silent: every method may be overridden, none must be."""

    def started(self, folder: Path, plan: Plan, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """The run has its folder and is about to train; facts: parameters, train and test images, resumed_at."""

    def tick(self, tick: Tick) -> None:
        """A few times a second while training."""

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """An epoch was evaluated."""

    def prior_epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """An epoch of the second stage, which fits the prior to the latents."""

    def figures(self, results: Mapping[str, Any], folder: Path) -> None:
        """Figures were drawn."""

    def note(self, text: str) -> None:
        """Something worth saying."""

    def warn(self, text: str) -> None:
        """Something worth a warning."""
