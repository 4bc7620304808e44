"""What the JSON files of a checkpoint must be. Imports no torch."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

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
    """A player's sums of the epoch so far, the objective's first; genzoo 0.1 had ``levels`` instead of ``layout``."""

    layout: list[list[str | int | None]] | None = None
    names: list[str] = Field(default_factory=list[str])
    levels: Count = 0
    sums: list[float | int | str] = Field(default_factory=list[float | int | str])
    images: Count = 0

    @model_validator(mode="after")
    def _one_sum_for_each(self) -> TotalsShape:
        layout = [["distortion", None], ["rates", self.levels]] if self.layout is None else self.layout
        if any(len(pair) != 2 for pair in layout):
            raise ValueError("must have a name and a size in each part of its layout")
        wanted = 1 + sum(size if isinstance(size, int) else 1 for _, size in layout) + len(self.names)
        if self.sums and len(self.sums) != wanted:
            raise ValueError("must have one sum for each of its names")
        read = unspelled(list(self.sums))
        if any(isinstance(value, str) for value in read):
            raise ValueError("must have sums that are numbers")
        if read and not math.isfinite(read[0]):
            # No step with such an objective is ever taken.
            raise ValueError("must have a finite sum of the objective")
        return self


def _by_player(value: Any) -> Any:
    """Sums as player → sums, also where genzoo 0.1 wrote those of its one player."""
    return {"": value} if isinstance(value, dict) and "sums" in value else value


class StageShape(Shape):
    """Where a stage stands."""

    step: Count = 0
    epochs_done: Epoch = 0
    step_in_epoch: Count = 0
    totals: Annotated[dict[str, TotalsShape], BeforeValidator(_by_player)] = Field(
        default_factory=dict[str, TotalsShape]
    )
    best_value: Real = None
    best_epoch: Epoch = 0
    best_step: Count = 0


class PriorShape(StageShape):
    """The second stage; ``total`` is of genzoo 0.1."""

    total: Real = 0.0


class StateShape(StageShape):
    """state.json; ``step`` counts the steps of the first stage. What says where training stands must be there."""

    best_elbo: Real = None
    prior: PriorShape | None = None
    prior_steps: Count = 0
    optimizer: dict[str, Any] = Field(default_factory=dict[str, Any])
    earlier: dict[str, Any] = Field(default_factory=dict[str, Any])
    tensors: dict[str, Count] = Field(default_factory=dict[str, int])

    @model_validator(mode="before")
    @classmethod
    def _says_where_it_stands(cls, value: Any) -> Any:
        for name in ("step", "epochs_done", "step_in_epoch"):
            if isinstance(value, dict) and name not in value:
                raise ValueError(f"must have {name}")
        return value
