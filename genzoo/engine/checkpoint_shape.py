"""What the JSON files of a checkpoint must be. Imports no torch."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from genzoo.bounded import Count, Epoch, FileName, Shape
from genzoo.plain import unspelled


def _number(value: float | int | str | None) -> float | int | str | None:
    read = unspelled(value)
    if isinstance(read, str) or (isinstance(read, float) and math.isnan(read)):
        raise ValueError("must be a number")
    return value


Real = Annotated[float | int | str | None, AfterValidator(_number)]
"""A number as `genzoo.plain.spelled` writes it, infinities included."""


class Identity(Shape):
    """Which run something is of. See `genzoo.runs.identity`."""

    run: str = Field(max_length=100)
    recipe_sha256: str = Field(max_length=100)
    recipe: dict[str, Any]


class FileShape(Shape):
    """A file of a checkpoint."""

    size: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ManifestShape(Shape):
    """manifest.json."""

    format: Annotated[int, Field(ge=1)] = 1
    step: Count
    files: dict[FileName, FileShape]
    identity: Identity | None = None


class TotalsShape(Shape):
    """Sums of the epoch so far, the objective's first."""

    names: list[str] = Field(default_factory=list[str])
    levels: Count = 0
    sums: list[float | int | str] = Field(default_factory=list[float | int | str])
    images: Count = 0

    @model_validator(mode="after")
    def _one_sum_for_each(self) -> TotalsShape:
        if self.sums and len(self.sums) != 2 + self.levels + len(self.names):
            raise ValueError("must have one sum for each of its names")
        read = unspelled(list(self.sums))
        if any(isinstance(value, str) for value in read):
            raise ValueError("must have sums that are numbers")
        if read and not math.isfinite(read[0]):
            # No step with such an objective is ever taken.
            raise ValueError("must have a finite sum of the objective")
        return self


class PriorShape(Shape):
    """The second stage."""

    step: Count = 0
    epochs_done: Epoch = 0
    step_in_epoch: Count = 0
    total: Real = 0.0


class StateShape(Shape):
    """state.json; ``step`` counts optimizer steps."""

    step: Count
    epochs_done: Epoch
    step_in_epoch: Count
    totals: TotalsShape = TotalsShape()
    best_elbo: Real = None
    best_epoch: Epoch = 0
    best_step: Count = 0
    prior: PriorShape | None = None
    prior_steps: Count = 0
    optimizer: dict[str, Any] = Field(default_factory=dict[str, Any])
    earlier: dict[str, Any] = Field(default_factory=dict[str, Any])
    tensors: dict[str, Count] = Field(default_factory=dict[str, int])
