"""A factor that rises to a peak and falls far below its start, once in a run."""

from __future__ import annotations

import math
from typing import ClassVar

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.clock import done_before
from genzoo_schedulers.options import OneCycleOptions


class OneCycle(Scheduler):
    r"""From peak/``start_divisor`` up to the peak, then down to peak/(``start_divisor`` · ``final_divisor``).

    With N steps and warm-up fraction w the peak is at step wN − 1 and the end at step N − 1, counted from 0; both ways
    follow half a cosine wave, or a straight line. Drives ``lr`` unless told otherwise.

    Example:
        >>> cycle = OneCycle(OneCycleOptions())
        >>> [round(cycle.factor(Progress(1 + step // 10, step, 10, 10)), 4) for step in (0, 29, 64, 99, 500)]
        [0.04, 1.0, 0.5, 0.0, 0.0]

    References:
        Smith and Topin 2018, *Super-convergence: very fast training of neural networks using large learning rates*.

    Differs from the paper: two phases in place of three, and the momentum is left alone, as in most later work.
    """

    default_slot: ClassVar[str] = "lr"

    def __init__(self, options: OneCycleOptions) -> None:
        super().__init__(options)
        self.warmup = options.warmup
        self.unit = options.unit
        self.peak = options.peak
        self.cosine = options.shape == "cosine"
        self.start = options.peak / options.start_divisor
        self.final = self.start / options.final_divisor
        self.bounds = (self.final, self.peak)

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        done, total = done_before(progress, self.unit)
        top, last = self.warmup * total - 1, total - 1
        if done < top:
            return self._between(self.start, self.peak, done / top)
        top = max(top, 0.0)
        if done >= last:
            # A run of one step, or one that only rises, ends at its peak.
            return self.final if last > top else self.peak
        return self._between(self.peak, self.final, (done - top) / (last - top))

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return float(progress.epochs)

    def _between(self, first: float, second: float, part: float) -> float:
        if self.cosine:
            part = math.sin(math.pi * part / 2) ** 2
        return first + (second - first) * part
