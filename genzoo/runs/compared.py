"""What differs between runs: their recipes, and metrics on the images that they share. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from genzoo.errors import GenzooError
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


def told_apart(folders: Sequence[RunFolder], titles: Sequence[str]) -> list[str]:
    """For each run, its options that differ between runs of the same title, such as ``latent_dim 8, epochs 2``.

    Args:
        folders: The runs; one that cannot be read gets nothing.
        titles: Theirs.
    """
    told = [""] * len(folders)
    for title in set(titles):
        places: list[int] = []
        for place, folder in enumerate(folders):
            with suppress(GenzooError, OSError):
                if titles[place] == title and read_toml(folder.config_file, "run"):
                    places.append(place)
        differences = differing([folders[place] for place in places]) if len(places) > 1 else {}
        for column, place in enumerate(places):
            told[place] = ", ".join(
                f"{key.removeprefix('train.').replace('.options.', '.')} {values[column]}"
                for key, values in differences.items()
                if values[column] is not None and key not in {"schema", "summary"}
            )
    return told
