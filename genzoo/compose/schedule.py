"""The values that schedulers drive, at each step. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genzoo.errors import DivergedError
from genzoo.interfaces.scheduler import Progress, Scheduler


@dataclass(frozen=True)
class Schedule:
    """Every scheduled quantity: its configured value times the product of its schedulers' factors.

    Args:
        configured: name → value without any scheduler, for every quantity of the experiment.
        schedulers: name → its schedulers.
    """

    configured: Mapping[str, float]
    schedulers: Mapping[str, Sequence[Scheduler]]

    def at(self, progress: Progress) -> dict[str, float]:
        """The value of every quantity at this step.

        Raises:
            DivergedError: If one is not finite, naming its slot.
        """
        values = dict(self.configured)
        for slot, schedulers in self.schedulers.items():
            for scheduler in schedulers:
                values[slot] *= scheduler.factor(progress)
            if not math.isfinite(values[slot]):
                raise DivergedError(
                    f"schedule: {slot} must be finite, got {values[slot]} at epoch {progress.epoch}, "
                    f"step {progress.step} from {', '.join(type(s).__name__ for s in schedulers)}."
                )
        return values

    def unfinished(self, end: Progress) -> dict[str, float]:
        """Quantities whose schedulers have not settled at the end of training, with the value they end at."""
        late: dict[str, float] = {}
        for slot, schedulers in self.schedulers.items():
            settled = [s.settled_after(end) for s in schedulers]
            if any(after is not None and after > end.epochs for after in settled):
                late[slot] = self.at(end)[slot]
        return late
