"""What a run found in its data, said before it trains and kept in its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch

from genzoo.engine.listener import Listener
from genzoo.interfaces.dataset import Dataset
from genzoo.parts.described import split_line
from genzoo.recipe import TrainOptions
from genzoo.types import ImageSpec, Split

_SHOWN = 5
_LOOKED_AT = 1000
"""Images whose brightest pixel is looked for."""

_FAINT_BYTE, _FAINT = 64, 0.02
"""Bytes, and numbers in [0, 1], below which no white lies."""

_MOST_BYTES = 2**28
"""Of both splits, to be compared image by image."""

_FEW = 0.01
"""A part of the test images below which some that are training images too are not told of."""


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
    warnings = (
        *dataset.warnings(),
        *_untrained(parts["train"], dataset.spec),
        *_faint(parts["train"]),
        *_in_both(parts),
    )
    return FoundData(tuple(lines), warnings)


def _line(name: str, part: Split, image: ImageSpec) -> str:
    return split_line(name, len(part), image, _counts(part, image))


def _counts(part: Split, image: ImageSpec) -> list[int] | None:
    if part.labels is None or image.classes is None:
        return None
    return part.labels.cpu().bincount(minlength=image.classes).tolist()


def _faint(train: Split) -> list[str]:
    """A warning of images that are all but black: of 0 and 1 or of 0 to 16 in bytes, or divided by 255 twice."""
    rows = torch.linspace(0, len(train) - 1, min(len(train), _LOOKED_AT)).long()
    images, whole = train.at(rows).images, train.images.dtype == torch.uint8
    brightest = float(images.max())
    if brightest >= (_FAINT_BYTE if whole else _FAINT):
        return []
    if not brightest:
        return ["Every pixel that was looked at is 0, which is black."]
    shown = f"{brightest:.0f} of 255" if whole else f"{brightest:.3g} of 1"
    return [
        f"The brightest pixel that was looked at has {shown}, so the images are almost black; scale them if it is white."
    ]


def _in_both(parts: Mapping[str, Split]) -> list[str]:
    """A warning of test images that are training images too, pixel by pixel."""
    train, test = parts["train"], parts["test"]
    if train.images.nbytes + test.images.nbytes > _MOST_BYTES or train.images.dtype != test.images.dtype:
        return []
    known = set(_digests(train))
    count = sum(digest in known for digest in _digests(test))
    if count <= _FEW * len(test):
        return []
    return [
        f"{count} of {len(test)} test images are training images too, pixel by pixel: test numbers flatter the model."
    ]


def _digests(split: Split) -> Iterator[bytes]:
    images = split.images.cpu().contiguous().flatten(1).numpy()
    return (blake2b(image.tobytes(), digest_size=16).digest() for image in images)


def _untrained(train: Split, image: ImageSpec) -> list[str]:
    """A warning of the classes without a training image."""
    absent = [label for label, count in enumerate(_counts(train, image) or ()) if not count]
    if not absent:
        return []
    names = [image.class_name(label) for label in absent[:_SHOWN]] + ["others"] * (len(absent) > _SHOWN)
    return [f"{len(absent)} of {image.classes} classes have no training image: {', '.join(names)}."]
