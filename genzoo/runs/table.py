"""A published table: its rows, and each published number beside the one that runs measured. Imports no torch.

A table is a TOML file that a plugin ships; see `genzoo.runs.reproduce`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genzoo.errors import UsageError
from genzoo.recipe import explain
from genzoo.runs.folder import RunFolder
from genzoo.toml import read_toml


class ExperimentSpec(BaseModel):
    """A recipe, run once per seed.

    ``change`` is what differs from the recipe, written as a recipe is (``change.train.holdout = 5000``): tables are merged,
    everything else takes the place of what the recipe says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe: str
    seeds: list[int] = Field(default_factory=lambda: [0])
    change: dict[str, Any] = Field(default_factory=dict)


class RowSpec(BaseModel):
    """One published number and how the measured one is found.

    ``value`` is a path into the last epoch's row (``test.distortion``, ``test.rates.0``, ``holdout.total``), or
    ``metrics.KEY`` for the number that a metric is named after and ``metrics.KEY.NAME`` for another of its numbers;
    ``test.total`` is distortion + rate; ``epochs_until.NAME`` with ``threshold`` is the first epoch whose test value is
    at or below it.

    With ``against``, the measured value is the improvement over that experiment, where lower is better: in percent of it,
    or, with ``compare = "difference"``, what it is lower by, in the value's own unit and, where both have the same seeds,
    seed by seed. ``against_value`` is what is read of that experiment where it is not ``value``; it may be another number
    of the same run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    experiment: str
    value: str
    against: str | None = None
    against_value: str | None = None
    compare: Literal["percent", "difference"] = "percent"
    plus: float = 0.0
    threshold: float | None = None
    published: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> RowSpec:
        if self.value.startswith("epochs_until.") and self.threshold is None:
            raise ValueError("threshold must be given with epochs_until")
        if self.against is None and (self.against_value is not None or self.compare != "percent"):
            raise ValueError("against must be given with against_value or compare")
        return self


class Reproduction(BaseModel):
    """A published table. See the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summary: str
    paper: str = ""
    protocol: str = ""
    experiments: list[ExperimentSpec]
    rows: list[RowSpec]


@dataclass(frozen=True)
class Result:
    """One row: what was published, what was measured a seed, and whether it holds.

    ``verdict`` is ``holds``, ``falls short`` or, where nothing is asked of it, ``reported``.
    """

    spec: RowSpec
    values: tuple[float, ...]
    verdict: str

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (n − 1), 0 with one seed, infinite where a seed never got there."""
        if not all(map(math.isfinite, self.values)):
            return math.inf
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def record(self) -> dict[str, Any]:
        """The row as JSON; a number that is not finite, where a seed never got there, is None."""
        return {
            **self.spec.model_dump(exclude_none=True),
            "measured": _finite(self.mean),
            "spread": _finite(self.spread),
            "values": [_finite(value) for value in self.values],
            "verdict": self.verdict,
        }


def read_reproduction(path: Path) -> Reproduction:
    """Read a reproduction's TOML.

    Raises:
        UsageError: If it is not one.
    """
    try:
        found = Reproduction.model_validate(read_toml(path, "reproduce")[0])
    except ValidationError as error:
        raise UsageError(f"reproduce: {path}: {explain(error, Reproduction)}") from None
    names = {experiment.name for experiment in found.experiments}
    for row in found.rows:
        for name in (row.experiment, row.against):
            if name is not None and name not in names:
                raise UsageError(f"reproduce: {path}: row {row.name!r} names no experiment of the file, {name!r}.")
    return found


def judge(reproduction: Reproduction, runs: Mapping[str, Sequence[RunFolder]]) -> list[Result]:
    """Every row of a table, measured and judged.

    Args:
        reproduction: The table.
        runs: Experiment → its finished runs, one a seed.

    Raises:
        UsageError: If a row asks for a number that a run has not.
    """
    return [_measure(row, runs) for row in reproduction.rows]


def _measure(row: RowSpec, runs: Mapping[str, Sequence[RunFolder]]) -> Result:
    values = [_value(row.value, row, run) + row.plus for run in runs[row.experiment]]
    if row.against is not None:
        path = row.against_value or row.value
        others = [_value(path, row, run) for run in runs[row.against]]
        if row.compare == "percent":
            values = [100 * (1 - statistics.fmean(values) / statistics.fmean(others))]
        elif len(values) == len(others):
            values = [other - value for value, other in zip(values, others, strict=True)]
        else:
            values = [statistics.fmean(others) - statistics.fmean(values)]
    mean = statistics.fmean(values)
    asked = row.at_most is not None or row.at_least is not None
    # Written so that a number that is not finite holds no bar.
    holds = (row.at_most is None or mean <= row.at_most) and (row.at_least is None or mean >= row.at_least)
    return Result(row, tuple(values), ("holds" if holds else "falls short") if asked else "reported")


def _value(path: str, row: RowSpec, run: RunFolder) -> float:
    first, *rest = path.split(".")
    if first == "epochs_until":
        assert row.threshold is not None
        rows = [each for each in run.rows("epoch") if "test" in each]
        passed = [each["epoch"] for each in rows if _number(each["test"], rest, path, row) <= row.threshold]
        return float(passed[0]) if passed else math.inf
    if first == "metrics":
        key, *name = rest
        found: Any = run.record().get("metrics", {}).get(key, {}).get("values", {})
        return _number(found, [".".join(name) or key], path, row)
    return _number((run.last_row() or {}).get(first, {}), rest, path, row)


def _number(numbers: Mapping[str, Any], names: Sequence[str], path: str, row: RowSpec) -> float:
    name, *index = names
    if name == "total" and {"distortion", "rate"} <= numbers.keys():
        return float(numbers["distortion"]) + float(numbers["rate"])
    found = numbers.get(name)
    if isinstance(found, list) and len(index) == 1 and index[0].isdecimal() and int(index[0]) < len(found):
        found = found[int(index[0])]
    elif index:
        found = None
    if not isinstance(found, int | float):
        raise UsageError(f"reproduce: row {row.name!r} asks for {path}, which the run has not; it has {list(numbers)}.")
    return float(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
