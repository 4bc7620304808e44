"""What a run found in its data, said before it trains and kept in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genzoo.engine.listener import Listener
from genzoo.interfaces.dataset import Dataset
from genzoo.parts.described import split_line
from genzoo.recipe import TrainOptions
from genzoo.types import ImageSpec, Split

_SHOWN = 5


@dataclass(frozen=True)
class FoundData:
    """What was found.

    Args:
        lines: The splits with their classes, sizes and channels.
        warnings: What is no part of the images, what was converted, and which classes have no training image.
    """

    lines: tuple[str, ...]
    warnings: tuple[str, ...]

    def tell(self, listener: Listener) -> None:
        """Say it."""
        for line in self.lines:
            listener.note(line)
        for text in self.warnings:
            listener.warn(text)

    def record(self) -> dict[str, Any]:
        """For run.json."""
        return {"lines": list(self.lines), "warnings": list(self.warnings)}


def found_data(dataset: Dataset, parts: Mapping[str, Split], train: TrainOptions) -> FoundData:
    """What a run found in its data.

    Args:
        dataset: The data.
        parts: The splits as the run uses them.
        train: Says whether they are all of it.
    """
    lines = list(dataset.describe())
    if not lines or train.limit or train.holdout:
        used = "used for " if lines else ""
        lines += [f"{used}{_line(name, part, dataset.spec)}" for name, part in parts.items()]
    return FoundData(tuple(lines), (*dataset.warnings(), *_untrained(parts["train"], dataset.spec)))


def _line(name: str, part: Split, image: ImageSpec) -> str:
    return split_line(name, len(part), image, _counts(part, image))


def _counts(part: Split, image: ImageSpec) -> list[int] | None:
    if part.labels is None or image.classes is None:
        return None
    return part.labels.cpu().bincount(minlength=image.classes).tolist()


def _untrained(train: Split, image: ImageSpec) -> list[str]:
    """A warning of the classes without a training image."""
    absent = [label for label, count in enumerate(_counts(train, image) or ()) if not count]
    if not absent:
        return []
    names = [image.class_name(label) for label in absent[:_SHOWN]] + ["others"] * (len(absent) > _SHOWN)
    return [f"{len(absent)} of {image.classes} classes have no training image: {', '.join(names)}."]
