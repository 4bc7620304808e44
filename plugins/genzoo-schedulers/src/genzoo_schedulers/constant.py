"""A factor that never changes."""

from __future__ import annotations

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.options import ConstantOptions


class Constant(Scheduler):
    r"""One factor at all times, :math:`s(t) = c`.

    Example:
        >>> Constant(ConstantOptions(factor=0.5)).factor(Progress(epoch=3, step=20, steps_per_epoch=10, epochs=5))
        0.5
    """

    monotone = "increasing"

    def __init__(self, options: ConstantOptions) -> None:
        super().__init__(options)
        self.value = options.factor
        self.bounds = (options.factor, options.factor)

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        return self.value

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return 0.0
