"""Reproducing a published table: runs of recipes over seeds, and each published number beside the measured one.

A reproduction is a TOML file that a plugin ships:

    summary = "The report's table 4"
    paper = "Le Trung et al. 2026"
    [[experiments]]
    name = "vae"
    recipe = "report-vae"
    seeds = [0, 1, 2]
    change.train.holdout = 5000      # what differs from the recipe, if anything
    [[rows]]
    name = "VAE distortion"
    experiment = "vae"
    value = "test.distortion"
    published = 138.00
    at_most = 138.00

Runs that are finished are used again and interrupted ones resumed, so a reproduction goes on where it stopped. A finished
run of the same recipe and seed that `genzoo run --recipe` left in the folder of runs is used too, and measured first where
it has not all the metrics.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from genzoo import storage
from genzoo.bounded import Shape, read_json
from genzoo.compose.plan import plan
from genzoo.engine.listener import Listener
from genzoo.errors import GenzooError
from genzoo.host.plugin_host import Host
from genzoo.recipe import Recipe, parse_recipe, read_recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder, is_run
from genzoo.studies.table import ExperimentSpec, Reproduction, Result, compare
from genzoo.studies.table import read_reproduction as read_reproduction


def reproduce(
    name: str,
    reproduction: Reproduction,
    host: Host,
    *,
    out: Path,
    listener: Listener,
    seeds: int | None = None,
    epochs: int | None = None,
) -> list[Result]:
    """Run what is not run yet, and measure every row.

    Args:
        name: Names the folder ``out/reproductions/NAME`` that keeps which runs belong to it, and its result.
        reproduction: The table.
        host: Where plugins come from.
        out: Folder of runs.
        listener: Told of each run.
        seeds: Only the first so many seeds of each experiment.
        epochs: Train so many epochs instead; for a quick look, since the verdicts then say little.

    Raises:
        UsageError: If ``torchrun`` started several processes.
        GenzooError: If a run fails.
    """
    from genzoo.training.follow import refuse_several

    refuse_several("reproduce")
    folder = out / "reproductions" / (name if epochs is None else f"{name}-{epochs}-epochs")
    if not folder.is_dir():
        storage.make_folder(folder)
    rows: dict[str, list[RunFolder]] = {}
    recipes = [
        changed(read_recipe(host.resource("recipe", spec.recipe).path), spec) for spec in reproduction.experiments
    ]
    for recipe in recipes:
        # What cannot be run is refused before hours are spent on what can.
        plan(recipe, host)
    for spec, recipe in zip(reproduction.experiments, recipes, strict=True):
        for seed in spec.seeds[:seeds]:
            train = {**recipe.train, "seed": seed, **({} if epochs is None else {"epochs": epochs})}
            one = recipe.model_copy(update={"train": train})
            listener.note(f"{name}: {spec.name}, seed {seed}")
            found = _run(f"{spec.name}-seed-{seed}", one, folder, out, host, listener)
            _pair(found, reproduction.paired(spec.name), host, listener)
            rows.setdefault(spec.name, []).append(found)
    results = compare(reproduction, rows)
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


def changed(recipe: Recipe, spec: ExperimentSpec) -> Recipe:
    """The recipe with what the experiment changes of it."""
    if not spec.change:
        return recipe
    content = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return parse_recipe(_merged(content, spec.change), f"{spec.recipe} as experiment {spec.name} changes it")


def _merged(content: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in change.items():
        before: Any = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        else:
            merged[key] = value
    return merged


def _run(key: str, recipe: Recipe, folder: Path, out: Path, host: Host, listener: Listener) -> RunFolder:
    """The run of one experiment and seed: the finished one, the interrupted one resumed, or a new one."""
    from genzoo.training.start import resume, start

    index = folder / "runs.json"
    known = _known(index)
    resolved = plan(recipe, host)
    before = Path(known[key]) if key in known else None
    if before is not None and is_run(before):
        existing = RunFolder(before)
        if damage := _damage(existing):
            listener.warn(f"{damage} It is run again.")
        elif not _repeats(existing, read_recipe_text(resolved.recipe()), host):
            listener.note(f"{before} was made with other options; it is run again.")
        elif existing.record().get("status") == "finished":
            listener.note(f"{before} is finished and used again.")
            return _measured(existing, resolved.recipe(), host, listener)
        else:
            return resume(existing, host, listener=listener).folder
    if elsewhere := _finished_run(resolved.recipe(), out, host):
        listener.note(f"{elsewhere.path} is a finished run of the same recipe and is used.")
        storage.replace_json(index, {**known, key: str(elsewhere.path.resolve())})
        return _measured(elsewhere, resolved.recipe(), host, listener)

    def remember(folder: Path) -> None:  # At once, so that an interrupted run is found again.
        storage.replace_json(index, {**known, key: str(folder.resolve())})

    return start(resolved, host, out=out, name=key, listener=listener, on_folder=remember).folder


def _finished_run(recipe: Recipe, out: Path, host: Host) -> RunFolder | None:
    """The newest finished run of the recipe below ``out``."""
    wanted = read_recipe_text(recipe)
    for run in reversed(list(all_runs(out))):
        try:
            if run.record().get("status") == "finished" and not _damage(run) and _repeats(run, wanted, host):
                return run
        except GenzooError:
            continue
    return None


def _known(index: Path) -> dict[str, str]:
    """Experiment and seed → the folder of its run."""
    found = read_json(index, Shape) if index.exists() else {}
    return {key: place for key, place in found.items() if isinstance(place, str)}


def _damage(run: RunFolder) -> str:
    """What is wrong with a run's files; empty where they can be read."""
    try:
        run.record()
        run.rows()
        read_recipe(run.config_file)
    except GenzooError as error:
        return error.message
    return ""


def _repeats(run: RunFolder, wanted: Recipe, host: Host) -> bool:
    """Whether a run is of the recipe; figures are no difference, nor are metrics, but the same one with other options.

    What the run's config.toml does not say, because it was written before there was such an option, is the default.
    """
    found = read_recipe_text(plan(read_recipe(run.config_file), host).recipe())
    asides = {"summary", "visualizers", "metrics"}
    same = found.model_dump(exclude=asides) == wanted.model_dump(exclude=asides)
    return same and all(found.metrics.get(key, part) == part for key, part in wanted.metrics.items())


def _measured(run: RunFolder, wanted: Recipe, host: Host, listener: Listener) -> RunFolder:
    """A finished run, once it has all the metrics that the recipe asks for."""
    from genzoo.training.start import resume

    had = read_recipe(run.config_file).metrics
    if missing := {key: part for key, part in wanted.metrics.items() if key not in had}:
        listener.note(f"It has no {', '.join(missing)} yet, which is measured now.")
        resume(run, host, metrics=missing, listener=listener)
    return run


def _pair(run: RunFolder, keys: set[str], host: Host, listener: Listener) -> None:
    """Measure again what a run was measured for before there were values per image."""
    from genzoo.training.start import resume

    before = run.record().get("metrics", {})
    old = {key for key in keys if "values" in before.get(key, {}) and "units" not in before[key]}
    if old:
        listener.note(f"{run.path} has no values per image of {', '.join(sorted(old))}, which is measured again.")
        wanted = read_recipe(run.config_file).metrics
        resume(run, host, metrics={key: wanted[key] for key in old if key in wanted}, listener=listener)


def read_recipe_text(recipe: Recipe) -> Recipe:
    """The recipe as it comes back from its own TOML."""
    return parse_recipe(tomllib.loads(recipe.to_toml()), "recipe")
