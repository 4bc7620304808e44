"""What run.json and the lines of metrics.jsonl must be. Imports no torch.

The shapes say what commands rely on, and let everything else through: a run of a later release may say more.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from genzoo.bounded import Count, Epoch, FileName, Number, Shape
from genzoo.engine.checkpoint_shape import Identity


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if isinstance(value, dict):
            _numbers(value)
        elif isinstance(value, list):
            _numbers({f"{name}.{place}": item for place, item in enumerate(value)})
        elif value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"must hold numbers, and {name} is not one")
    return values


Numbers = Annotated[dict[str, Any], AfterValidator(_numbers)]
"""Numbers by name, lists and mappings of them among them; null stands for one that is not finite."""


class Drawn(Shape):
    """A figure: its files, or why it failed."""

    files: list[FileName] = Field(default_factory=list[str])
    error: str | None = None


class Measured(Shape):
    """A metric: its values with protocol and unit, or why it failed."""

    values: Numbers = Field(default_factory=dict[str, Any])
    protocol: str = ""
    unit: str = ""
    error: str | None = None


class Resumed(Shape):
    """One time that a run was resumed."""

    at: str = ""
    warnings: list[str] = Field(default_factory=list[str])


class RecordShape(Shape):
    """run.json."""

    schema_: Annotated[int, Field(ge=1, alias="schema")] = 1
    status: str = "unknown"
    title: str = ""
    argv: list[str] = Field(default_factory=list[str])
    seed: Count = 0
    created: str = ""
    ended: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    verdict: str = ""
    git_commit: str | None = None
    pid: Count | None = None
    host: str | None = None
    formats: list[str] = Field(default_factory=list[str])
    components: dict[str, Any] = Field(default_factory=dict[str, Any])
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    parameters: dict[str, Count] = Field(default_factory=dict[str, int])
    images: dict[str, Count] = Field(default_factory=dict[str, int])
    figures: dict[str, Drawn] = Field(default_factory=dict[str, Drawn])
    metrics: dict[str, Measured] = Field(default_factory=dict[str, Measured])
    resumed: list[Resumed] = Field(default_factory=list[Resumed])
    summary: dict[str, Any] | None = None
    identity: Identity | None = None


class RowShape(Shape):
    """What every line of metrics.jsonl must be; `ROWS` says more."""

    kind: str
    epoch: Epoch = 0
    prior_epoch: Epoch = 0
    step: Count = 0
    seconds: Number = None
    images_per_second: Number = None
    quantities: Numbers = Field(default_factory=dict[str, Any])
    holdout: Numbers = Field(default_factory=dict[str, Any])


class EpochShape(Shape):
    """An epoch of training."""

    epoch: Epoch
    train: Numbers
    test: Numbers = Field(default_factory=dict[str, Any])


class PriorEpochShape(Shape):
    """An epoch of the second stage, which fits the prior."""

    epoch: Epoch
    prior_epoch: Epoch


class FittedShape(Shape):
    """The test numbers once the prior is fitted."""

    epoch: Epoch
    test: Numbers


ROWS: dict[str, type[Shape]] = {"epoch": EpochShape, "prior": PriorEpochShape, "fitted": FittedShape}
"""Kind of row → what it must be beside a `RowShape`."""
