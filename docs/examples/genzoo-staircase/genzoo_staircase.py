"""The `staircase` scheduler: a factor that rises from 0 to 1 in equal steps."""

from __future__ import annotations

from pydantic import Field

from genzoo.declare import Component, hookimpl
from genzoo.interfaces import Progress, Scheduler
from genzoo.options import Options


class StaircaseOptions(Options):
    """Options of `Staircase`."""

    steps: int = Field(4, ge=1, le=1000, description="How many steps lead from 0 to 1.")
    epochs: int = Field(3, ge=1, le=100_000, description="How many epochs a step lasts.")


class Staircase(Scheduler):
    r"""A factor that rises by :math:`1/n` every :math:`m` epochs, :math:`s(t) = \min(1, \lfloor (t-1)/m \rfloor / n)`.

    Example:
        >>> staircase = Staircase(StaircaseOptions(steps=4, epochs=3))
        >>> [staircase.factor(Progress(epoch, 0, 100, 30)) for epoch in (1, 3, 4, 12, 13, 30)]
        [0.0, 0.0, 0.25, 0.75, 1.0, 1.0]
    """

    monotone = "increasing"

    def __init__(self, options: StaircaseOptions) -> None:
        super().__init__(options)
        self.steps = options.steps
        self.epochs = options.epochs

    def factor(self, progress: Progress) -> float:
        """See `Scheduler.factor`."""
        return min(1.0, (progress.epoch - 1) // self.epochs / self.steps)

    def settled_after(self, progress: Progress) -> float:
        """See `Scheduler.settled_after`."""
        return float(self.steps * self.epochs)


@hookimpl
def genzoo_schedulers() -> list[Component]:
    return [
        Component(
            kind="scheduler",
            name="staircase",
            target="genzoo_staircase:Staircase",
            options="genzoo_staircase:StaircaseOptions",
            summary="Rises from 0 to 1 in equal steps.",
        )
    ]
