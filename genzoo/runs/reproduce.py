"""Reproducing a published table: runs of recipes over seeds, and each published number beside the measured one.

A reproduction is a TOML file that a plugin ships:

    summary = "The report's table 4"
    paper = "Le Trung et al. 2026"
    [[experiments]]
    name = "vae"
    recipe = "report-vae"
    seeds = [0, 1, 2]
    [[rows]]
    name = "VAE distortion"
    experiment = "vae"
    value = "test.distortion"
    published = 138.00
    at_most = 138.00

Runs that are finished are used again and interrupted ones resumed, so a reproduction goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genzoo import storage
from genzoo.compose.plan import Plan, plan
from genzoo.errors import UsageError
from genzoo.host import Host
from genzoo.recipe import Recipe, explain, read_recipe
from genzoo.runs.folder import RunFolder, is_run
from genzoo.runs.reporter import Reporter


class ExperimentSpec(BaseModel):
    """A recipe, run once a seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe: str
    seeds: list[int] = Field(default_factory=lambda: [0])


class RowSpec(BaseModel):
    """One published number and how the measured one is found.

    ``value`` is a path into the last epoch's row (``test.distortion``), or ``metrics.KEY.NAME``; ``test.total`` is
    distortion + rate; ``epochs_until.NAME`` with ``threshold`` is the first epoch whose test value is at or below it.
    With ``against``, the measured value is the improvement over that experiment in percent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    experiment: str
    value: str
    against: str | None = None
    plus: float = 0.0
    threshold: float | None = None
    published: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _threshold_where_needed(self) -> RowSpec:
        if self.value.startswith("epochs_until.") and self.threshold is None:
            raise ValueError("threshold must be given with epochs_until")
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
        found = Reproduction.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"reproduce: {path} cannot be read: {error}.") from None
    except ValidationError as error:
        raise UsageError(f"reproduce: {path}: {explain(error, Reproduction)}") from None
    names = {experiment.name for experiment in found.experiments}
    for row in found.rows:
        for name in (row.experiment, row.against):
            if name is not None and name not in names:
                raise UsageError(f"reproduce: {path}: row {row.name!r} names no experiment of the file, {name!r}.")
    return found


def reproduce(
    name: str,
    reproduction: Reproduction,
    host: Host,
    *,
    out: Path,
    reporter: Reporter,
    seeds: int | None = None,
    epochs: int | None = None,
) -> list[Result]:
    """Run what is not run yet, and measure every row.

    Args:
        name: Names the folder ``out/reproductions/NAME`` that keeps which runs belong to it, and its result.
        reproduction: The table.
        host: Where plugins come from.
        out: Folder of runs.
        reporter: Told of each run.
        seeds: Only the first so many seeds of each experiment.
        epochs: Train so many epochs instead; for a quick look, since the verdicts then say little.

    Raises:
        GenzooError: If a run fails.
    """
    folder = out / "reproductions" / (name if epochs is None else f"{name}-{epochs}-epochs")
    if not folder.is_dir():
        storage.make_folder(folder)
    rows: dict[str, list[RunFolder]] = {}
    for spec in reproduction.experiments:
        recipe = read_recipe(host.resource("recipe", spec.recipe).path)
        for seed in spec.seeds[:seeds]:
            train = {**recipe.train, "seed": seed, **({} if epochs is None else {"epochs": epochs})}
            one = recipe.model_copy(update={"train": train})
            reporter.note(f"{name}: {spec.name}, seed {seed}")
            rows.setdefault(spec.name, []).append(_run(f"{spec.name}-seed-{seed}", one, folder, out, host, reporter))
    results = [_measure(row, rows) for row in reproduction.rows]
    storage.replace_json(
        folder / "result.json",
        {
            "name": name,
            "summary": reproduction.summary,
            "protocol": reproduction.protocol,
            "rows": [result.record() for result in results],
            "runs": {key: [str(run.path) for run in runs] for key, runs in rows.items()},
        },
    )
    return results


def _run(key: str, recipe: Recipe, folder: Path, out: Path, host: Host, reporter: Reporter) -> RunFolder:
    """The run of one experiment and seed: the finished one, the interrupted one resumed, or a new one."""
    from genzoo.runs.execute import resume, start

    index = folder / "runs.json"
    known: dict[str, str] = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    resolved = plan(recipe, host)
    before = Path(known[key]) if key in known else None
    if before is not None and is_run(before):
        existing = RunFolder(before)
        if read_recipe(existing.config_file) != read_recipe_text(resolved.recipe()):
            reporter.note(f"{before} was made with other options; it is run anew.")
        elif existing.record().get("status") == "finished":
            reporter.note(f"{before} is finished and used again.")
            return existing
        else:
            return resume(existing, host, reporter=reporter).folder

    class Watching(_Relay):
        """Notes the folder as soon as there is one, so that an interrupted run is found again."""

        def started(self, folder: Path, plan: Plan, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
            storage.replace_json(index, {**known, key: str(folder.resolve())})
            super().started(folder, plan, settings, facts)

    return start(resolved, host, out=out, name=key, reporter=Watching(reporter)).folder


def read_recipe_text(recipe: Recipe) -> Recipe:
    """The recipe as it comes back from its own TOML."""
    from genzoo.recipe import parse_recipe

    return parse_recipe(tomllib.loads(recipe.to_toml()), "recipe")


class _Relay(Reporter):
    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def started(self, folder: Path, plan: Plan, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self.reporter.started(folder, plan, settings, facts)

    def tick(self, tick: Any) -> None:
        self.reporter.tick(tick)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        self.reporter.epoch(row, epochs)

    def prior_epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        self.reporter.prior_epoch(row, epochs)

    def figures(self, results: Mapping[str, Any], folder: Path) -> None:
        self.reporter.figures(results, folder)

    def note(self, text: str) -> None:
        self.reporter.note(text)

    def warn(self, text: str) -> None:
        self.reporter.warn(text)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _measure(row: RowSpec, runs: Mapping[str, Sequence[RunFolder]]) -> Result:
    values = [_value(row, run) + row.plus for run in runs[row.experiment]]
    if row.against is not None:
        base = statistics.fmean(_value(row, run) for run in runs[row.against])
        values = [100 * (1 - statistics.fmean(values) / base)]
    mean = statistics.fmean(values)
    asked = row.at_most is not None or row.at_least is not None
    holds = (row.at_most is None or mean <= row.at_most) and (row.at_least is None or mean >= row.at_least)
    return Result(row, tuple(values), ("holds" if holds else "falls short") if asked else "reported")


def _value(row: RowSpec, run: RunFolder) -> float:
    path = row.value.split(".")
    rows = run.rows("epoch")
    if path[0] == "epochs_until":
        assert row.threshold is not None
        passed = [each["epoch"] for each in rows if _number(each["test"], path[1], row) <= row.threshold]
        return float(passed[0]) if passed else math.inf
    if path[0] == "metrics":
        found: Any = run.record().get("metrics", {}).get(path[1], {}).get("values", {})
        return _number(found, ".".join(path[2:]), row)
    return _number((run.last_row() or {})[path[0]], path[1], row)


def _number(numbers: Mapping[str, Any], name: str, row: RowSpec) -> float:
    if name == "total":
        return float(numbers["distortion"]) + float(numbers["rate"])
    if name not in numbers:
        raise UsageError(
            f"reproduce: row {row.name!r} asks for {row.value}, which the run has not; it has {list(numbers)}."
        )
    return float(numbers[name])
