"""Correct plugins of the kinds that the kit has no reference for; wrong ones differ from them in one thing.

Importing this module imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genzoo.interfaces.scheduler import Progress, Scheduler
from genzoo.options import Options


class Length(Options):
    """Length of a ramp."""

    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")


class Weight(Options):
    """Weight of the rate."""

    beta: float = Field(1.0, ge=0, le=1e6, description="Weight of the rate.")


class Window(Options):
    """When a ramp begins and ends."""

    start: float = Field(1.0, ge=0, le=100, description="Epochs before the ramp.")
    end: float = Field(4.0, ge=0, le=100, description="Epochs after which the factor is 1.")


class Widths(Options):
    """Widths of hidden layers."""

    widths: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((16,), description="Width of each hidden layer.")


class Ends(Options):
    """Ends of a ramp."""

    start: float = Field(0.0, ge=0, le=1, description="First factor.")
    end: float = Field(1.0, ge=0, le=1, description="Last factor.")


class Ramp(Scheduler):
    """From 0 to 1 in three epochs."""

    monotone: Literal["increasing", "decreasing"] | None = "increasing"
    length = 3.0

    def factor(self, progress: Progress) -> float:
        return min(1.0, progress.epochs_done / self.length)

    def settled_after(self, progress: Progress) -> float | None:
        return self.length


class DecayByStep(Scheduler):
    """Exponential decay in steps, as many learning rates have it."""

    monotone: Literal["increasing", "decreasing"] | None = "decreasing"

    def factor(self, progress: Progress) -> float:
        return 0.9 ** (progress.step / 100)


class RampWithLength(Ramp):
    """From 0 to 1 in the epochs given."""

    def factor(self, progress: Progress) -> float:
        return min(1.0, progress.epochs_done / self.options.epochs) if self.options.epochs else 1.0

    def settled_after(self, progress: Progress) -> float | None:
        return self.options.epochs
