"""What differs between runs: their recipes, and metrics on the images that they share. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genzoo.runs.folder import RunFolder
from genzoo.runs.identity import flat
from genzoo.runs.per_image import Paired, paired
from genzoo.toml import read_toml


def differing(folders: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """Dotted option → its value in each run, None where it is not there, of options that are not the same in all.

    Options of figures are left out: they change nothing of what is compared.
    """
    recipes = [flat(read_toml(folder.config_file, "run")[0]) for folder in folders]
    keys = sorted({key for recipe in recipes for key in recipe if not key.startswith("visualizers")})
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


def apart(
    differences: Sequence[Mapping[str, Any] | None], titles: Sequence[str], recipes: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """For each run, its options that differ between runs of the same title, such as ``latent_dim 8, epochs 2``.

    Args:
        differences: Of each run's flat recipe from that of ``recipes`` for its title; None where it cannot be read, and
            nothing is said of it.
        titles: The runs'.
        recipes: Title → the flat recipe that the differences are from.

    Example:
        >>> apart([{}, {"train.epochs": 2}], ["a", "a"], {"a": {"train.epochs": 1, "train.seed": 0}})
        ['epochs 1', 'epochs 2']
    """
    told = [""] * len(titles)
    places: dict[str, list[int]] = {}
    for place, (title, found) in enumerate(zip(titles, differences, strict=True)):
        if found is not None:
            places.setdefault(title, []).append(place)
    for title, members in places.items():
        base = recipes.get(title, {})
        keys = {key for place in members for key in differences[place] or ()}
        shown: list[tuple[str, list[Any]]] = []
        for key in sorted(keys):
            values = [(differences[place] or {}).get(key, base.get(key)) for place in members]
            if not key.startswith(("visualizers", "schema", "summary")) and len({str(value) for value in values}) > 1:
                shown.append((key.removeprefix("train.").replace(".options.", "."), values))
        for column, place in enumerate(members):
            told[place] = ", ".join(f"{name} {values[column]}" for name, values in shown if values[column] is not None)
    return told
