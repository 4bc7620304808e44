"""Results as data: a CSV file with one row per recipe and seed, and each recipe beside it. Imports no torch.

The first columns, `FACTS`, say what a row is: what was trained, how, on what and when. The columns behind them are
numbers: ``test.distortion`` of the last epoch, ``test.rate@1`` of the first, ``metrics.nll`` for the number that a metric
is named after and ``metrics.nll.se`` for another of its numbers. A cell is empty where the number is not known.
``recipes/NAME.toml`` beside the file repeats the rows of that name, whatever becomes of the plugin's recipe.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genzoo import storage
from genzoo.compose.plan import plan
from genzoo.errors import GenzooError, UsageError
from genzoo.host.plugin_host import Host
from genzoo.recipe import Recipe, parse_recipe, read_recipe
from genzoo.runs.folder import RunFolder

FACTS: Mapping[str, str] = {
    "recipe": "Name of the recipe, which lies in recipes/NAME.toml.",
    "seed": "Seed of weights, order and noise.",
    "source": "The run's folder, or the commit of the page that the row was copied from.",
    "date": "When the run ended.",
    "protocol": "What was trained on and measured, in words.",
    "epochs": "Epochs trained.",
    "minutes": "Minutes of training steps.",
    "processor": "Processor that it was trained on.",
    "precision": "Arithmetic of the training steps.",
    "threads": "Threads of torch.",
    "genzoo": "Version.",
    "commit": "Commit of the folder that the run was started from.",
    "torch": "Version.",
    "plugins": "Distributions of the run's parts, with versions.",
    "weights_sha256": "SHA-256 of the weights, model.safetensors.",
}
"""Column → what it says; the other columns are numbers."""

RECIPES = "recipes"
"""Folder of recipes beside a CSV file."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_SPLITS = ("train", "holdout", "test")
_NUMBERS = ("distortion", "rate", "elbo")
_ASIDES = {"summary", "visualizers", "metrics", "train"}
_NO_DIFFERENCE = (
    "seed",
    "device",
    "precision",
    "compile",
    "cuda_graphs",
    "eval_batch_size",
    "eval_every",
    "viz_every",
    "checkpoint_every",
    "keep",
)
"""Training options that a row states itself, or that change no weight."""


def record_results(
    runs: Sequence[RunFolder],
    file: Path,
    host: Host,
    *,
    name: str | None = None,
    epochs: Sequence[int] = (),
    replace: bool = False,
) -> list[dict[str, str]]:
    """Add a row per run to a CSV file of results, which is made where there is none.

    Args:
        runs: Finished runs.
        file: The CSV file.
        host: Where the runs' plugins and the installed recipes come from.
        name: What the runs' recipe is called; None: the installed recipe that each of them repeats.
        epochs: Epochs whose numbers are kept too, as ``test.distortion@1``.
        replace: Whether a row of the same recipe and seed gives way; it is an error otherwise.

    Returns:
        The new rows.

    Raises:
        UsageError: If a run is not finished, repeats no installed recipe, or has a row; if the file is no file of results;
            or if rows of that name come from another recipe.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(
            f"runs record: the recipe's name must be lower-case letters, digits, dots and hyphens, got {name[:40]!r}.",
            "A file is named after it.",
        )
    rows = read_results(file) if file.exists() else []
    new: list[dict[str, str]] = []
    recipes: dict[str, Recipe] = {}
    for run in runs:
        recipe = read_recipe(run.config_file)
        called = name or installed_name(recipe, host)
        if called is None:
            raise UsageError(
                f"runs record: {run.path} must repeat an installed recipe, and repeats none.", "Name it with --as NAME."
            )
        earlier = recipes.get(called) or _kept(file, called)
        if earlier is None:
            recipes[called] = recipe
        elif not repeats(recipe, earlier, host):
            raise UsageError(
                f"runs record: {run.path} must repeat {_recipe_file(file, called)}, and differs from it.",
                "Name it with --as NAME, or remove that recipe and its rows.",
            )
        new.append({"recipe": called, **_row(run, epochs)})
    keys = [(row["recipe"], row["seed"]) for row in new]
    taken = sorted({key for key in keys if keys.count(key) > 1 or (not replace and key in map(_key, rows))})
    if taken:
        raise UsageError(
            f"runs record: {file} must have one row per recipe and seed, and would have two of {taken[0][0]}, seed "
            f"{taken[0][1]}.",
            "Use --replace to put the new row in the place of the old one.",
        )
    table = {_key(row): row for row in [*rows, *new]}
    if not file.parent.is_dir():
        storage.make_folder(file.parent)
    if recipes and not (file.parent / RECIPES).is_dir():
        storage.make_folder(file.parent / RECIPES)
    for called, recipe in recipes.items():
        storage.replace(_recipe_file(file, called), recipe.to_toml().encode())
    storage.replace(file, to_csv(list(table.values())).encode())
    return new


def read_results(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of results: column → text, empty where it is not known.

    Raises:
        UsageError: If it cannot be read, or is no file of results.
    """
    try:
        reader = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")), strict=True)
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"results: {file} cannot be read: {error}.") from None
    header = list(reader.fieldnames or ())
    ragged = next((number for number, row in enumerate(rows, 2) if None in row or None in row.values()), None)
    if header[: len(FACTS)] != list(FACTS) or len(set(header)) < len(header) or ragged:
        raise UsageError(
            f"results: {file} must begin with the columns {', '.join(FACTS)}, have each column once and as many cells in "
            f"each row, got another {f'row {ragged}' if ragged else 'header'}.",
            "Write it with `genzoo runs record`.",
        )
    return rows


def to_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as CSV: the facts, then every number that a row has, in the order in which they first come."""
    header = list(dict.fromkeys([*FACTS, *(column for row in rows for column in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def repeats(recipe: Recipe, other: Recipe, host: Host) -> bool:
    """Whether two recipes train alike but for the seed and the machine, and measure alike what both measure.

    What one of them does not say, because it was written before there was such an option, is the default.
    """
    a, b = (parse_recipe(tomllib.loads(plan(each, host).recipe().to_toml()), "recipe") for each in (recipe, other))
    trained = [{k: v for k, v in each.train.items() if k not in _NO_DIFFERENCE} for each in (a, b)]
    same = a.model_dump(exclude=_ASIDES) == b.model_dump(exclude=_ASIDES) and trained[0] == trained[1]
    return same and all(b.metrics[key] == part for key, part in a.metrics.items() if key in b.metrics)


def installed_name(recipe: Recipe, host: Host) -> str | None:
    """The installed recipe that a run's recipe repeats."""
    for resource in host.resources("recipe"):
        try:
            if repeats(recipe, read_recipe(resource.path), host):
                return resource.name
        except GenzooError:
            # It needs a plugin that is absent; the run's are there.
            continue
    return None


def _recipe_file(file: Path, name: str) -> Path:
    return file.parent / RECIPES / f"{name}.toml"


def _kept(file: Path, name: str) -> Recipe | None:
    path = _recipe_file(file, name)
    return read_recipe(path) if path.exists() else None


def _key(row: Mapping[str, str]) -> tuple[str, str]:
    return row["recipe"], row["seed"]


def _row(run: RunFolder, epochs: Sequence[int]) -> dict[str, str]:
    """What a run's files say, as text."""
    record, last = run.record(), run.last_row()
    if record.get("status") != "finished" or last is None:
        raise UsageError(f"runs record: {run.path} must be finished, got {record.get('status')}.")
    settings, every = record.get("settings", {}), {row["epoch"]: row for row in run.rows("epoch")}
    seconds = sum(row.get("seconds") or 0 for kind in ("epoch", "prior") for row in run.rows(kind))
    facts = {
        "seed": record.get("seed"),
        "source": run.path.resolve().name,
        "date": str(record.get("ended", ""))[:10],
        "protocol": _protocol(record, last),
        "epochs": last.get("epoch"),
        "minutes": round(seconds / 60, 1) if seconds else None,
        "processor": record.get("processor"),
        "precision": settings.get("precision"),
        "threads": settings.get("threads"),
        "genzoo": record.get("genzoo"),
        "commit": record.get("git_commit"),
        "torch": settings.get("torch"),
        "plugins": "; ".join(sorted(set(_plugins(record.get("components", {}))))),
        "weights_sha256": _weights(run),
    }
    declared = [report["name"] for report in record.get("reports", [])]
    numbers = {name: value for split in _SPLITS for name, value in _numbers(split, last.get(split), declared)}
    for epoch in epochs:
        if epoch not in every:
            raise UsageError(f"runs record: --epoch must be one that {run.path} trained, got {epoch}.")
        for split in _SPLITS:
            numbers |= {f"{name}@{epoch}": value for name, value in _numbers(split, every[epoch].get(split), declared)}
    for key, result in record.get("metrics", {}).items():
        for name, value in result.get("values", {}).items():
            numbers[f"metrics.{key}" if name in {"", key} else f"metrics.{key}.{name}"] = value
    return {column: _text(value) for column, value in {**facts, **numbers}.items()}


def _numbers(split: str, means: Mapping[str, Any] | None, declared: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name in dict.fromkeys((*_NUMBERS, *declared)) if means else ():
        if name in _NUMBERS or name in (means or {}):
            yield f"{split}.{name}", (means or {}).get(name)
    rates = (means or {}).get("rates", [])
    if len(rates) > 1:
        yield from ((f"{split}.rates.{level}", rate) for level, rate in enumerate(rates))


def _protocol(record: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    images = record.get("images", {})
    held = f", {images['holdout']} held out" if images.get("holdout") else ""
    parts = [f"{images.get('train')} training images{held}"]
    if "test" in last:
        drawn = any(report["name"] == "distortion" for report in record.get("reports", [{"name": "distortion"}]))
        parts.append(
            f"{images.get('test')} test images after epoch {last.get('epoch')}"
            + ", one posterior sample per image" * drawn
        )
    metrics = record.get("metrics", {})
    return "; ".join([*parts, *(f"{key}: {made['protocol']}" for key, made in metrics.items() if made.get("protocol"))])


def _plugins(components: Any) -> Iterator[str]:
    """``distribution version`` of every part, schedulers and metrics among them."""
    if isinstance(components, Mapping) and "distribution" in components:
        yield f"{components['distribution']} {components.get('version')}"
    elif isinstance(components, (Mapping, list)):
        for part in components.values() if isinstance(components, Mapping) else components:  # pyright: ignore[reportUnknownVariableType]
            yield from _plugins(part)


def _weights(run: RunFolder) -> str | None:
    from genzoo.engine.checkpoint import find

    checkpoint = find(run.checkpoints)
    if checkpoint is None:
        return None
    averaged = checkpoint / "averages.safetensors"  # What is measured and shipped, where there is one.
    return storage.sha256(averaged if averaged.exists() else checkpoint / "model.safetensors")


def _text(value: Any) -> str:
    """A cell: seven digits of a number, nothing for one that is not known or not finite."""
    if isinstance(value, float):
        return f"{value:.7g}" if math.isfinite(value) else ""
    return "" if value is None else str(value)
