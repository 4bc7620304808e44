"""Under ``torchrun``: what every process of a run but the first one does, train along and write nothing; and what they
cannot do together."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from pathlib import Path

from genzoo.compose.build import Experiment
from genzoo.engine.listener import Listener
from genzoo.engine.settings import Settings
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.engine.workers import Workers
from genzoo.errors import GenzooError, UsageError, describe
from genzoo.launched import launched
from genzoo.types import Kind, Split

_log = logging.getLogger("genzoo.run")


def coupled_by_process(experiment: Experiment, workers: Workers) -> str:
    """What several processes change of a loss that couples the images of a batch; empty where they change nothing."""
    if workers.size == 1 or not experiment.loss.batch_coupled:
        return ""
    name, size = experiment.plan[Kind.LOSS].name, experiment.plan.train.batch_size
    return (
        f"The loss {name} couples the images of a batch, and each of the {workers.size} processes computes it on its "
        f"own {size // workers.size} of the {size}: it is that of a smaller batch, and not the one of a single process."
    )


def refuse_several(command: str) -> None:
    """Refuse a command that trains one run after another under ``torchrun``, whose processes would each start its own.

    Raises:
        UsageError: If ``torchrun`` started several processes.
    """
    if (several := launched()) is not None:
        raise UsageError(
            f"{command}: the number of processes must be 1, got {several.size} from torchrun.",
            f"Start `genzoo {command}` without torchrun; `genzoo run` with a recipe of it may take several.",
        )


def lead(workers: Workers, folder: Path, checkpoint: Path | None, *, go_on: bool = True) -> None:
    """From the first process: tell those that `follow` where the run is and where it goes on, if it does."""
    workers.tell((folder, checkpoint, go_on))


def follow(experiment: Experiment, parts: dict[str, Split], workers: Workers, settings: Settings | None = None) -> Path:
    """Train along with the first process until training ends.

    Args:
        experiment: The same as that of every other process.
        parts: Its splits.
        workers: Who train.
        settings: Where they are chosen already.

    Returns:
        The run folder, which the first process named.

    Raises:
        GenzooError: As in the first process, or if that one ended.
    """
    folder, checkpoint, go_on = workers.tell((Path(), None, False))
    if not go_on:
        return folder
    try:
        trainer = Trainer(experiment, Listener(), parts, workers, settings)
        if checkpoint is None:
            trainer.initialise()
        else:
            trainer.restore(checkpoint)
        with Signals() as signals, redirect_stdout(sys.stderr):
            trainer.fit(signals)
    except GenzooError:
        raise
    except Exception as error:
        _log.debug("process %d failed", workers.rank, exc_info=error)
        raise GenzooError(f"run: process {workers.rank}: {describe(error)}.") from error
    return folder
