"""What differs between runs: their recipes, and metrics on the images that they share. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genzoo.runs.folder import RunFolder
from genzoo.runs.identity import flat
from genzoo.runs.per_image import Paired, paired
from genzoo.toml import read_toml


def differing(folders: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """Dotted option → its value in each run, None where it is not there, of options that are not the same in all."""
    recipes = [flat(read_toml(folder.config_file, "run")[0]) for folder in folders]
    keys = sorted({key for recipe in recipes for key in recipe})
    return {
        key: [recipe.get(key) for recipe in recipes]
        for key in keys
        if len({str(recipe.get(key)) for recipe in recipes}) > 1
    }


def paired_differences(folders: Sequence[RunFolder]) -> dict[str, list[Paired | None]]:
    """Metric → the difference of each later run from the first, of metrics that can be paired at all."""
    found: dict[str, list[Paired | None]] = {}
    for key in folders[0].record().get("metrics", {}):
        pairs = [paired(folder, folders[0], key) for folder in folders[1:]]
        if any(pairs):
            found[key] = pairs
    return found
