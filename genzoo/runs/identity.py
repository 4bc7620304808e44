"""What belongs to a run: a name that it keeps wherever its folder goes, and the recipe that its numbers come from.

Both stand in ``run.json`` and in the manifest of every checkpoint, so that parts of two runs that were mixed, and a
``config.toml`` that was edited after training began, are told apart. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from genzoo.compose.plan import Plan, plan
from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo.host.plugin_host import Host
from genzoo.recipe import parse_recipe
from genzoo.runs.folder import RunFolder
from genzoo.types import Kind

RESUME_MAY_CHANGE = ("epochs", "viz_every")
"""Training options that a resumed run may change; visualizers and metrics too."""

FREE = (*RESUME_MAY_CHANGE, "device", "cuda_graphs")
"""Training options that are no part of a run's identity."""

_SHOWN = 5
"""Differences that a message names."""


def identity(resolved: Plan) -> dict[str, Any]:
    """The identity of a run that begins: ``run``, a new name, ``recipe``, what it is made of, and the SHA-256 of that.

    Example:
        >>> from genzoo.host.plugin_host import host
        >>> from genzoo.recipe import Part, Recipe
        >>> sorted(identity(plan(Recipe(model=Part(name="vae")), host())))
        ['recipe', 'recipe_sha256', 'run']
    """
    recipe = comparable(resolved)
    return {"run": uuid.uuid4().hex, "recipe_sha256": _digest(recipe), "recipe": recipe}


def comparable(resolved: Plan) -> dict[str, Any]:
    """The recipe without what may change: figures, metrics, `FREE`, and where the images lie (their content has a
    digest of its own)."""
    recipe = resolved.recipe().model_dump(
        mode="json", by_alias=True, exclude={"schema_version", "summary", "visualizers", "metrics"}
    )
    recipe["train"] = {key: value for key, value in recipe["train"].items() if key not in FREE}
    options = recipe[Kind.DATASET]["options"]
    places = resolved[Kind.DATASET].options.places
    recipe[Kind.DATASET]["options"] = {key: value for key, value in options.items() if key not in places}
    return recipe


def refuse_edited(folder: RunFolder, resolved: Plan, host: Host) -> None:
    """Refuse a run whose config.toml is not the recipe that it was trained by.

    Options that a plugin has gained since then count as their defaults.

    Args:
        folder: The run.
        resolved: The plan of its config.toml.
        host: Where its plugins come from.

    Raises:
        UsageError: With what differs.
    """
    own = folder.record().get("identity")
    if own is None or own["recipe_sha256"] == _digest(comparable(resolved)):
        return
    before = own["recipe"]
    with suppress(GenzooError):  # Another release's recipe is compared as it was written.
        before = comparable(plan(parse_recipe(before, str(folder.record_file)), host))
    if found := _differences(before, comparable(resolved)):
        raise UsageError(
            f"run: {folder.config_file} must be as it was when training began, but "
            f"{_listed([f'{key} is {new} and was {old}' for key, old, new in found])}.",
            "Change it back, or start a new run: genzoo run --recipe config.toml.",
        )


def refuse_foreign(folder: RunFolder, manifest: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    """Refuse a checkpoint of another run.

    Args:
        folder: The run that it lies in.
        manifest: Of the checkpoint.
        warn: Told where there is nothing to compare, as in runs of earlier releases.

    Raises:
        CorruptError: With what differs between the two runs.
    """
    own, found = folder.record().get("identity"), manifest.get("identity")
    name = f"step-{manifest.get('step')}"
    if found is None:
        if not folder.vouched:
            warn(f"Checkpoint {name} does not say which run it is of, so it could not be compared with {folder.path}.")
        return
    if own is not None and (own["run"], own["recipe_sha256"]) == (found["run"], found["recipe_sha256"]):
        return
    differing = _differences(own["recipe"], found["recipe"]) if own else []
    other = [f"{key} is {new} there and {old} here" for key, old, new in differing]
    names = f"it names {found['run']}, and run.json names {own['run'] if own else 'none'}"
    raise CorruptError(
        f"checkpoint: {folder.checkpoints / name} is of another run: {_listed([names, *other])}.",
        "Put the run's own checkpoints back, or start a new run; nothing was changed.",
    )


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings, and lists of them, as one mapping with dotted keys.

    Example:
        >>> flat({"train": {"lr": 0.1}, "schedulers": [{"name": "cosine"}]})
        {'train.lr': 0.1, 'schedulers.0.name': 'cosine'}
    """
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}{key}.").items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): value}


def _differences(before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """(dotted key, value before, value now) of what differs; None stands for what is not there."""
    old, new = flat(before or {}), flat(now or {})
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new} - {""}) if old.get(key) != new.get(key)]


def _listed(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _digest(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
