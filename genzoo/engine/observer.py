"""Who is told how training goes: of progress, of epochs, and when to save and draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genzoo.engine.train import Trainer


@dataclass(frozen=True)
class Tick:
    """Progress for a person to watch: where training is and what the epoch's running means say."""

    epoch: int
    epochs: int
    step_in_epoch: int
    steps_per_epoch: int
    images_per_second: float
    values: Mapping[str, float]
    means: Mapping[str, Any]
    stage: str = "train"


class Observer(Protocol):
    """Who is told of training and keeps what it makes."""

    def tick(self, tick: Tick) -> None:
        """A few times a second at the most."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch was trained and evaluated; the row is one line of metrics.jsonl."""

    def prior_epoch(self, row: dict[str, Any], epochs: int) -> None:
        """An epoch of the second stage, which fits the prior, was trained and evaluated."""

    def epoch_over(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After an epoch of either stage and its checkpoint: the time for figures, and for all that may fail or end
        the process."""

    def fitted(self, row: dict[str, Any]) -> None:
        """The prior is fitted; the row is the test split evaluated anew."""

    def save(self, trainer: Trainer, *, best: bool) -> None:
        """Time for a checkpoint; ``best`` if the held-out elbo is the best so far."""
