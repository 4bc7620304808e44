"""A factor that moves along half a cosine wave, then stays."""

from __future__ import annotations

import math
from typing import ClassVar

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.clock import epochs_before
from genzoo_schedulers.options import CosineOptions


class Cosine(Scheduler):
    r"""Half a cosine wave from ``start`` to ``end`` over ``epochs`` epochs or the whole run, then ``end``.

    .. math:: s(t) = s_1 + (s_0 - s_1)\,\tfrac12 (1 + \cos \pi u), \quad u = \min(1, t / T)

    with t the time before the step, so that the first step has ``start``. Drives ``lr`` unless told otherwise.

    Example:
        >>> cosine = Cosine(CosineOptions())
        >>> [round(cosine.factor(Progress(1 + step // 10, step, 10, 10)), 3) for step in (0, 25, 50, 100)]
        [1.0, 0.854, 0.5, 0.0]

    References:
        Equation 5 of Loshchilov and Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*.
    """

    default_slot: ClassVar[str] = "lr"

    def __init__(self, options: CosineOptions) -> None:
        super().__init__(options)
        self.epochs = options.epochs
        self.unit = options.unit
        self.start = options.start
        self.end = options.end
        self.bounds = (min(self.start, self.end), max(self.start, self.end))
        self.monotone = "increasing" if self.start <= self.end else "decreasing"

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        time, length = epochs_before(progress, self.unit), self.settled_after(progress)
        if time >= length:
            return self.end
        # sin²(πu/2) = (1 − cos πu)/2, exact at both ends.
        return self.start + (self.end - self.start) * math.sin(math.pi * time / length / 2) ** 2

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return float(progress.epochs) if self.epochs is None else self.epochs
