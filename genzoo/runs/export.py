"""A run slimmed down to what a plugin ships: weights, recipe, record and rows, with a card for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genzoo import storage
from genzoo.bounded import Count, Shape, checked, read_json
from genzoo.engine.checkpoint import MANIFEST, find, read_manifest
from genzoo.engine.checkpoint_shape import StateShape
from genzoo.errors import PluginError, UsageError
from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import cells, names_shown, reports_of
from genzoo.types import Kind

_KEPT = ("model.safetensors", "loss.safetensors")
_PRIVATE = {"argv", "git_commit", "pid", "platform", "resumed", "figures"}


class _Settings(Shape):
    torch: str
    precision: str


class _Total(Shape):
    total: Count


class _Images(Shape):
    train: Count
    test: Count


class _Finished(Shape):
    """What `card` says of a run."""

    title: str
    seed: Count
    genzoo: str
    components: dict[str, Any]
    settings: _Settings
    parameters: _Total
    images: _Images


def export_run(run: RunFolder, target: Path) -> str:
    """Copy a finished run's newest sound checkpoint, without the optimizer, into a new folder.

    Args:
        run: The run.
        target: The folder to make.

    Returns:
        SHA-256 of the copy's manifest, for the plugin's declaration.

    Raises:
        UsageError: If the run is not finished.
        RunExistsError: If the folder exists.
    """
    record = run.record()
    checkpoint = find(run.checkpoints)
    if record.get("status") != "finished" or checkpoint is None:
        raise UsageError(f"export: {run.path} must be finished, got {record.get('status')}.")
    storage.make_folder(target)
    copy = RunFolder(target)
    for folder in (copy.checkpoints, copy.checkpoints / checkpoint.name):
        storage.make_folder(folder)
    checked(record, _Finished, str(run.record_file))
    state = read_json(checkpoint / "state.json", StateShape)
    files = {name: (checkpoint / name).read_bytes() for name in _KEPT if (checkpoint / name).exists()}
    averaged = checkpoint / "averages.safetensors"
    if averaged.exists():
        files["model.safetensors"] = averaged.read_bytes()
    files["state.json"] = json.dumps({**state, "optimizer": {}, "tensors": {}}).encode()
    slim = copy.checkpoints / checkpoint.name
    for name, data in files.items():
        storage.write_new(slim / name, data)
    rows = {name: {"size": len(data), "sha256": storage.sha256(slim / name)} for name, data in files.items()}
    manifest = {**read_manifest(checkpoint), "files": rows}
    storage.write_new(slim / MANIFEST, json.dumps(manifest, indent=2).encode())
    storage.write_new(copy.config_file, _without_places(run, record).encode())
    storage.write_new(copy.metrics_file, run.metrics_file.read_bytes())
    copy.write_record({key: value for key, value in record.items() if key not in _PRIVATE})
    storage.write_new(target / "README.md", card(record).encode())
    return storage.sha256(slim / MANIFEST)


def _without_places(run: RunFolder, record: dict[str, Any]) -> str:
    """config.toml without the paths of this machine, which are also taken out of the record."""
    data = record.get("data", {})
    places: dict[str, str] = data.get("places", {})
    if data:
        record["data"] = {name: value for name, value in data.items() if name not in {"places", "folder"}}
    if not places:
        return run.config_file.read_text(encoding="utf-8")
    recipe = read_recipe(run.config_file)
    assert recipe.dataset is not None  # Given in every config.toml.
    kept = {name: value for name, value in recipe.dataset.options.items() if name not in places}
    parts = record["components"]
    record["components"] = {**parts, "dataset": {**parts["dataset"], "options": kept}}
    return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"options": kept})}).to_toml()


def card(record: dict[str, Any]) -> str:
    """What a person should know of shipped weights, as Markdown: command, seed, scores, versions."""
    components = record["components"]
    names = names_shown(reports_of(record))
    train = record.get("summary", {}).get("train", {})
    test = record.get("summary", {}).get("test", {})
    parts = ", ".join(
        f"{kind} `{part['name']}`"
        for kind, part in components.items()
        if isinstance(part, dict) and isinstance(part.get("name"), str)
    )
    lines = [
        f"# {record['title']}",
        "",
        f"Made with `genzoo run --recipe config.toml` (seed {record['seed']}), genzoo {record['genzoo']}, "
        f"torch {record['settings']['torch']}, {record['settings']['precision']} training steps.",
        "",
        f"Parts: {parts}. {record['parameters']['total']:,} parameters; {record['images']['train']:,} training and "
        f"{record['images']['test']:,} test images.",
        "",
        f"| per image | {' | '.join(names)} |",
        "| --- " * (len(names) + 1) + "|",
    ]
    for name, numbers in (("train, running mean of the last epoch", train), ("test, last epoch", test)):
        if numbers:
            lines.append(f"| {name} | {' | '.join(cells(numbers, names))} |")
    return "\n".join([*lines, "", str(record.get("verdict", "")), "", licences(record), ""])


def licences(record: dict[str, Any], of_weights: str = "that of the distribution that ships them") -> str:
    """Sentences on what the weights and the images may be used under."""
    name = record["components"]["dataset"]["name"]
    try:
        stated = host().get(Kind.DATASET, name).load().licence
    except PluginError:
        stated = ""
    of_images = stated or "not known to genzoo; see where they come from"
    return f"Licence of the weights: {of_weights}. Licence of the images, `{name}`: {of_images}."
