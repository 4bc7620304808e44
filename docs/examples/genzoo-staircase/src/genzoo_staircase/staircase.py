"""The `staircase` scheduler. Imports no torch."""

from __future__ import annotations

from typing import Literal

from genzoo.interfaces import Progress, Scheduler
from genzoo_staircase.options import StaircaseOptions


class Staircase(Scheduler):
    r"""A factor that rises from 0 to 1 in n equal steps of m epochs each.

    .. math:: s(t) = \min(1, \lfloor (t - 1) / m \rfloor / n)

    Args:
        options: The number of steps, n, and the length of one, m.

    Example:
        >>> staircase = Staircase(StaircaseOptions(steps=4, epochs=3))
        >>> [staircase.factor(Progress(epoch, 0, 100, 30)) for epoch in (1, 3, 4, 12, 13, 30)]
        [0.0, 0.0, 0.25, 0.75, 1.0, 1.0]
    """

    options: StaircaseOptions
    monotone: Literal["increasing", "decreasing"] | None = "increasing"

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        return min(1.0, (progress.epoch - 1) // self.options.epochs / self.options.steps)

    def settled_after(self, progress: Progress) -> float | None:
        """See `Scheduler.settled_after`."""
        return self.options.steps * self.options.epochs
