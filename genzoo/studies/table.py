"""A published table: its rows, and each published number beside the one that runs measured. Imports no torch.

A table is a TOML file that a plugin ships; see `genzoo.studies.reproduce`.
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
from genzoo.runs.per_image import Paired, has_values, paired
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
    of the same run. A difference of a metric's own number is taken image by image where both runs have its values per image.
    """

    @property
    def paired(self) -> str | None:
        """The metric whose values per image this row compares, None where it compares something else."""
        first, *rest = self.value.split(".")
        whole = first == "metrics" and len(rest) == 1 and self.against_value in {None, self.value}
        return rest[0] if whole and self.against is not None and self.compare == "difference" else None

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

    def paired(self, experiment: str) -> set[str]:
        """Metrics of an experiment that rows compare image by image."""
        return {row.paired for row in self.rows if row.paired and experiment in {row.experiment, row.against}}


EQUAL = "equal within the spread"


@dataclass(frozen=True)
class Result:
    """One row: what was published, what was measured per seed, and whether it holds.

    Args:
        spec: The row.
        values: One per seed.
        errors: The standard error over images of each, None where it is not known. That of a difference is paired.
        images: How many images a paired difference is over, None where it is not paired.
    """

    spec: RowSpec
    values: tuple[float, ...]
    errors: tuple[float | None, ...] = ()
    images: int | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over three seeds or more (n − 1), infinite where one never got there; fewer have none."""
        if len(self.values) < 3:
            return None
        return statistics.stdev(self.values) if all(map(math.isfinite, self.values)) else math.inf

    @property
    def error(self) -> float:
        """What the mean may be off by: the spread over seeds, or, of fewer than three, the standard error over images; 0
        where neither is known."""
        if self.spread is not None:
            return self.spread
        known = [error for error in self.errors if error is not None]
        return math.sqrt(sum(error**2 for error in known)) / len(known) if known else 0.0

    @property
    def verdict(self) -> str:
        """``holds``, ``falls short``, ``equal within the spread`` or, where nothing is asked of it, ``reported``.

        A bar is neither met nor missed by less than `error`, nor where one of two seeds meets it and the other does not.
        """
        margins = [self._margin(value) for value in self.values]
        if self.spec.at_most is None and self.spec.at_least is None:
            return "reported"
        if not all(map(math.isfinite, margins)):
            return "falls short"
        margin = self._margin(self.mean)
        apart = len(margins) == 2 and min(margins) < 0 <= max(margins)
        if apart or (self.error > 0 and abs(margin) <= self.error):
            return EQUAL
        return "holds" if margin >= 0 else "falls short"

    def _margin(self, value: float) -> float:
        """By how much a value meets the bar, negative where it misses it."""
        margins = [self.spec.at_most - value] if self.spec.at_most is not None else []
        margins += [value - self.spec.at_least] if self.spec.at_least is not None else []
        return min(margins, default=0.0)

    def record(self) -> dict[str, Any]:
        """The row as JSON; a number that is not finite, where a seed never got there, is None."""
        return {
            **self.spec.model_dump(exclude_none=True),
            "measured": _finite(self.mean),
            "spread": None if self.spread is None else _finite(self.spread),
            "values": [_finite(value) for value in self.values],
            "standard_errors": [None if error is None else _finite(error) for error in self.errors],
            "images": self.images,
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


def compare(reproduction: Reproduction, runs: Mapping[str, Sequence[RunFolder]]) -> list[Result]:
    """Every row of a table, measured and judged.

    Args:
        reproduction: The table.
        runs: Experiment → its finished runs, one a seed.

    Raises:
        UsageError: If a row asks for a number that a run has not.
    """
    return [_measure(row, runs) for row in reproduction.rows]


def _measure(row: RowSpec, runs: Mapping[str, Sequence[RunFolder]]) -> Result:
    ours = runs[row.experiment]
    values = [_value(row.value, row, run) + row.plus for run in ours]
    if row.against is None:
        return Result(row, tuple(values), tuple(_standard_error(row, run) for run in ours))
    theirs = runs[row.against]
    others = [_value(row.against_value or row.value, row, run) for run in theirs]
    if row.compare == "percent":
        return Result(row, (100 * (1 - statistics.fmean(values) / statistics.fmean(others)),))
    if len(values) != len(others):
        return Result(row, (statistics.fmean(others) - statistics.fmean(values),))
    pairs = [_paired(row, one, other) for one, other in zip(ours, theirs, strict=True)]
    if any(pair is None for pair in pairs):
        return Result(row, tuple(other - value for value, other in zip(values, others, strict=True)))
    found = [pair for pair in pairs if pair is not None]
    differences = tuple(-pair.mean - row.plus for pair in found)
    return Result(row, differences, tuple(pair.standard_error for pair in found), min(pair.images for pair in found))


def _paired(row: RowSpec, one: RunFolder, other: RunFolder) -> Paired | None:
    """The difference image by image, None where a run has no values per image.

    Raises:
        UsageError: If they were measured over different images.
    """
    key = row.paired
    if key is None or not (has_values(one, key) and has_values(other, key)):
        return None
    found = paired(one, other, key)
    if found is None or not found.all_images:
        both = 0 if found is None else found.images
        raise UsageError(
            f"reproduce: row {row.name!r} must compare {key} over the same images, got {both} that both runs have.",
            f"Measure both alike: genzoo eval {one.path} {key}, and {other.path}.",
        )
    return found


def _standard_error(row: RowSpec, run: RunFolder) -> float | None:
    """Of a metric's own number over images, where the metric has it."""
    first, *rest = row.value.split(".")
    if first != "metrics" or len(rest) != 1:
        return None
    values = run.record().get("metrics", {}).get(rest[0], {}).get("values", {})
    names = ("standard_error", f"{rest[0]}-se")
    return next((float(values[name]) for name in names if isinstance(values.get(name), int | float)), None)


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
