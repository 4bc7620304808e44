"""A factor that rises in proportion to time, then stays."""

from __future__ import annotations

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.options import LinearWarmupOptions, a_third


class LinearWarmup(Scheduler):
    r"""A straight line from ``start`` to ``end`` over the first ``epochs`` epochs, then ``end``.

    .. math:: s(t) = s_0 + (s_1 - s_0) \min(1, t / T)

    which is equation 31 of the report for the default :math:`s_0 = 0`, :math:`s_1 = 1`. Epochs count from 1, so the
    factor of the first of ten epochs is 0.1 and that of the tenth is 1.

    Example:
        >>> warmup = LinearWarmup(LinearWarmupOptions(epochs=10))
        >>> [warmup.factor(Progress(epoch, 0, 100, 30)) for epoch in (1, 5, 10, 30)]
        [0.1, 0.5, 1.0, 1.0]

    References:
        Bowman et al. 2016, *Generating sentences from a continuous space*.
    """

    def __init__(self, options: LinearWarmupOptions) -> None:
        super().__init__(options)
        self.epochs = options.epochs
        self.unit = options.unit
        self.start = options.start
        self.end = options.end
        self.bounds = (min(self.start, self.end), max(self.start, self.end))
        self.monotone = "increasing" if self.start <= self.end else "decreasing"

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        time, length = progress.at(self.unit), self.settled_after(progress)
        if time >= length:
            return self.end
        return self.start + (self.end - self.start) * time / length

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return a_third(progress.epochs) if self.epochs is None else self.epochs
