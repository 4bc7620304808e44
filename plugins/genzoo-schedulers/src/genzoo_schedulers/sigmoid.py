"""A factor that rises along a logistic curve, then stays."""

from __future__ import annotations

import math

from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.options import SigmoidOptions, a_third


class Sigmoid(Scheduler):
    r"""A logistic curve from ``start`` to ``end`` over the first ``epochs`` epochs, then ``end``.

    .. math:: s(t) = s_0 + (s_1 - s_0)\,\frac{\sigma(k (u - 1/2)) - \sigma(-k/2)}{\sigma(k/2) - \sigma(-k/2)},
              \quad u = \min(1, t / T)

    Example:
        >>> sigmoid = Sigmoid(SigmoidOptions(epochs=10))
        >>> [round(sigmoid.factor(Progress(epoch, 0, 100, 30)), 3) for epoch in (1, 5, 10, 30)]
        [0.011, 0.5, 1.0, 1.0]

    References:
        Bowman et al. 2016, *Generating sentences from a continuous space*.

    Differs from the paper: the curve is stretched to pass through its end points, so that it ends.
    """

    def __init__(self, options: SigmoidOptions) -> None:
        super().__init__(options)
        self.epochs = options.epochs
        self.steepness = options.steepness
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
        # tanh is a logistic curve that is odd about its middle, which makes the stretch one division.
        half = self.steepness / 4
        stretched = math.tanh(half * (2 * time / length - 1)) / math.tanh(half)
        return self.start + (self.end - self.start) * (stretched + 1) / 2

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return a_third(progress.epochs) if self.epochs is None else self.epochs
