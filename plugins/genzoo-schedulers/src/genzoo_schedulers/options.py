"""Options of the schedulers. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genzoo.options import Options

Unit = Literal["epoch", "step"]

_UNIT = "Time t: the epoch's number, counted from 1, or the fraction of epochs done at the end of the step."


class ConstantOptions(Options):
    """Options of `Constant`."""

    factor: float = Field(1.0, ge=0, le=1e6, description="The factor, at all times.")


class LinearWarmupOptions(Options):
    """Options of `LinearWarmup`."""

    epochs: float = Field(10, ge=0, le=1e6, description="Length of the warm-up in epochs; 0 for none.")
    unit: Unit = Field("epoch", description=_UNIT)
    start: float = Field(0.0, ge=0, le=1e6, description="The factor at t = 0.")
    end: float = Field(1.0, ge=0, le=1e6, description="The factor at the end of the warm-up and after it.")
