"""A factor that rises and falls back, again and again."""

from __future__ import annotations

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.clock import done_before, epochs_before
from genzoo_schedulers.options import CyclicalOptions


class Cyclical(Scheduler):
    r"""Cycles of a straight line from ``start`` to ``end`` and a plateau at ``end``.

    .. math:: s(t) = s_0 + (s_1 - s_0) \min(1, \tau / R), \quad \tau = \frac{t \bmod P}{P}

    with t the time before the step, R the rising part of a cycle and P its length: the run over M cycles.

    Example:
        >>> cyclical = Cyclical(CyclicalOptions(cycles=2))
        >>> [cyclical.factor(Progress(1, step, 40, 1)) for step in (0, 5, 10, 19, 20, 25, 40)]
        [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0]

    References:
        Equations 6 and 7 of Fu et al. 2019, *Cyclical annealing schedule: a simple approach to mitigating KL vanishing*.

    Differs from the paper: P is not rounded up to whole steps, and at R = 0 the factor is ``end`` throughout.
    """

    def __init__(self, options: CyclicalOptions) -> None:
        super().__init__(options)
        self.cycles = options.cycles
        self.rise = options.rise
        self.epochs = options.epochs
        self.unit = options.unit
        self.start = options.start
        self.end = options.end
        if self.rise == 0:
            self.bounds = (self.end, self.end)
        else:
            self.bounds = (min(self.start, self.end), max(self.start, self.end))

    @property
    def period(self) -> float | None:
        """See `Scheduler.period`; None where the run's length decides it."""
        return self.epochs

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`; past the end of a run that is divided into cycles the factor stays."""
        position = self._position(progress)
        if position >= self.rise:
            return self.end
        return self.start + (self.end - self.start) * position / self.rise

    def settled_after(self, progress: Progress) -> float | None:
        """See `Scheduler.settled_after`; the last plateau where the run is divided into cycles."""
        if self.rise == 0:
            return 0.0
        if self.epochs is not None:
            return None
        return progress.epochs * (self.cycles - 1 + self.rise) / self.cycles

    def _position(self, progress: Progress) -> float:
        """τ in [0, 1), or 1 past the end."""
        if self.epochs is not None:
            position = epochs_before(progress, self.unit) / self.epochs % 1.0
            # Division leaves the start of a cycle a rounding error early.
            return 0.0 if 1 - position < 1e-9 else position
        done, total = done_before(progress, self.unit)
        return 1.0 if done >= total else done * self.cycles % total / total
