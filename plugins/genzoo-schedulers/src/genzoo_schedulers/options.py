"""Options of the schedulers. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self, TypeVar

from pydantic import Field

from genzoo.options import Options
from genzoo_schedulers.clock import Unit

_EPOCHS = "Length in epochs; 0 for none. Absent: a third of the run's."
_REACHED = "epoch: t is the epoch's number, counted from 1; step: t is the fraction of epochs done at the step's end."
_BEFORE = "epoch: the factor changes from epoch to epoch; step: from step to step."
_START = "The factor at t = 0."
_END = "The factor at the end of the rise and after it."


def a_third(epochs: int) -> float:
    """The length of a warm-up of a run of so many epochs, unless another is given: that of the report, 10 of 30."""
    return epochs / 3


class ConstantOptions(Options):
    """Options of `Constant`."""

    factor: float = Field(1.0, ge=0, le=1e6, description="The factor, at all times.")


class LinearWarmupOptions(Options):
    """Options of `LinearWarmup`."""

    epochs: float | None = Field(None, ge=0, le=1e6, description=_EPOCHS)
    unit: Unit = Field("epoch", description=_REACHED)
    start: float = Field(0.0, ge=0, le=1e6, description=_START)
    end: float = Field(1.0, ge=0, le=1e6, description=_END)

    def for_run(self, epochs: int) -> Self:
        """See `Options.for_run`."""
        return _with_length(self, a_third(epochs))


class SigmoidOptions(Options):
    """Options of `Sigmoid`."""

    epochs: float | None = Field(None, ge=0, le=1e6, description=_EPOCHS)
    steepness: float = Field(10, gt=0, le=100, description="Slope in the middle, times four; a larger one is steeper.")
    unit: Unit = Field("epoch", description=_REACHED)
    start: float = Field(0.0, ge=0, le=1e6, description=_START)
    end: float = Field(1.0, ge=0, le=1e6, description=_END)

    def for_run(self, epochs: int) -> Self:
        """See `Options.for_run`."""
        return _with_length(self, a_third(epochs))


class CosineOptions(Options):
    """Options of `Cosine`."""

    epochs: float | None = Field(None, ge=0, le=1e6, description="Length in epochs; absent for the whole run.")
    unit: Unit = Field("step", description=_BEFORE)
    start: float = Field(1.0, ge=0, le=1e6, description="The factor at the start.")
    end: float = Field(0.0, ge=0, le=1e6, description="The factor at the end and after it.")


class CyclicalOptions(Options):
    """Options of `Cyclical`."""

    cycles: int = Field(4, ge=1, le=10_000, description="Cycles in the whole run, M.")
    rise: float = Field(0.5, ge=0, le=1, description="The part of a cycle in which the factor rises, R.")
    epochs: float | None = Field(None, gt=0, le=1e6, description="Length of a cycle in epochs, instead of `cycles`.")
    unit: Unit = Field("step", description=_BEFORE)
    start: float = Field(0.0, ge=0, le=1e6, description="The factor at the start of a cycle.")
    end: float = Field(1.0, ge=0, le=1e6, description="The factor after the rise.")


class OneCycleOptions(Options):
    """Options of `OneCycle`."""

    warmup: float = Field(0.3, ge=0, le=1, description="The part of the run in which the factor rises.")
    start_divisor: float = Field(25, ge=1, le=1e9, description="The peak over the factor of the first step.")
    final_divisor: float = Field(1e4, ge=1, le=1e9, description="The factor of the first step over that of the last.")
    peak: float = Field(1.0, gt=0, le=1e6, description="The largest factor.")
    shape: Literal["cosine", "linear"] = Field("cosine", description="The form of the rise and the fall.")
    unit: Unit = Field("step", description=_BEFORE)


_O = TypeVar("_O", LinearWarmupOptions, SigmoidOptions)


def _with_length(options: _O, epochs: float) -> _O:
    """The options with that length, where none was given."""
    return options if options.epochs is not None else options.model_copy(update={"epochs": float(epochs)})
