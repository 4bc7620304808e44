"""What every process of a run but the first one does under ``torchrun``: train along, and write nothing."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from genzoo.compose.build import Experiment
from genzoo.engine.checkpoint import load_checkpoint, read_state
from genzoo.engine.signals import Signals
from genzoo.engine.train import Tick, Trainer
from genzoo.engine.workers import Workers
from genzoo.errors import GenzooError
from genzoo.types import Split

_log = logging.getLogger("genzoo.run")


class Unheard:
    """An observer that keeps nothing, since the first process keeps everything."""

    def tick(self, tick: Tick) -> None:
        """See `Observer.tick`."""

    def epoch(self, row: dict[str, Any]) -> None:
        """See `Observer.epoch`."""

    def prior_epoch(self, row: dict[str, Any], epochs: int) -> None:
        """See `Observer.prior_epoch`."""

    def epoch_over(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """See `Observer.epoch_over`."""

    def fitted(self, row: dict[str, Any]) -> None:
        """See `Observer.fitted`."""

    def save(self, trainer: Trainer, *, best: bool) -> None:
        """See `Observer.save`."""


def lead(workers: Workers, folder: Path, checkpoint: Path | None, *, go_on: bool = True) -> None:
    """From the first process: tell those that `follow` where the run is and where it goes on, if it does."""
    workers.tell((folder, checkpoint, go_on))


def follow(experiment: Experiment, parts: dict[str, Split], workers: Workers) -> Path:
    """Train along with the first process until training ends.

    Args:
        experiment: The same as that of every other process.
        parts: Its splits.
        workers: Who train.

    Returns:
        The run folder, which the first process named.

    Raises:
        GenzooError: As in the first process, or if that one ended.
    """
    folder, checkpoint, go_on = workers.tell((Path(), None, False))
    if not go_on:
        return folder
    try:
        trainer = Trainer(experiment, Unheard(), parts, workers)
        if checkpoint is None:
            trainer.initialise()
        else:
            trainer.restore(read_state(checkpoint))
            load_checkpoint(checkpoint, trainer.model, trainer.optimizer, trainer.loss)
        with Signals() as signals, redirect_stdout(sys.stderr):
            trainer.fit(signals)
    except GenzooError:
        raise
    except Exception as error:
        _log.debug("process %d failed", workers.rank, exc_info=error)
        raise GenzooError(f"run: process {workers.rank}: {type(error).__name__}: {error}.") from error
    return folder
