"""Labels of an .npz file: which classes they number, or a refusal that says what to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.errors import UsageError

Array = np.ndarray[Any, Any]

_SHOWN = 5
_NUMBERED = (
    "number them: names, labels = np.unique(labels, return_inverse=True), and save class_names=names.astype(str)"
)


@dataclass(frozen=True)
class Classes:
    """Labels that number classes from 0.

    Args:
        labels: int64 ``[N]`` by the array's key.
        count: Number of classes.
        names: One a class, None where labels are numbers without names.
    """

    labels: Mapping[str, Tensor]
    count: int
    names: tuple[str, ...] | None


def number_classes(arrays: Mapping[str, Array], classes: int | None, names: Array | None) -> Classes:
    """What the classes are.

    Words and truth values are classes by themselves, in their order and with their names. Whole numbers are classes
    where they run from 0 without gaps, or where ``classes`` or ``names`` say how many there are.

    Args:
        arrays: The labels of each split by the array's key; at least one.
        classes: The option.
        names: The array ``class_names``.

    Raises:
        UsageError: If they are something else.
    """
    for key, array in arrays.items():
        _check(key, array)
    keys = " and ".join(arrays)
    if len({_kind(array) for array in arrays.values()}) > 1:
        raise UsageError(f"npz: {keys} must be of one type, got {', '.join(str(a.dtype) for a in arrays.values())}.")
    given = None if names is None else _names(names)
    if next(iter(arrays.values())).dtype.kind == "b":
        arrays, given = {key: array.astype(np.uint8) for key, array in arrays.items()}, given or ("False", "True")
    if given is not None and classes not in (None, len(given)):
        raise UsageError(f"npz: classes must be the number of class_names, {len(given)}, got {classes}.")
    whole = np.concatenate(list(arrays.values()))
    values = np.unique(whole)
    if _kind(whole) == "word":
        known = tuple(map(str, values.tolist()))
        order = known if given is None else given
        absent = sorted(set(known) - set(order))
        if absent:
            raise UsageError(f"npz: {keys} must be among class_names, got {absent[0]!r}.")
        _refuse_ids(keys, len(values), len(whole), classes)
        place = np.array([order.index(name) for name in known], np.int64)
        numbered = {key: place[np.searchsorted(values, array)] for key, array in arrays.items()}
        count = len(order)
        if classes not in (None, count):
            raise UsageError(f"npz: classes must be the number of different {keys}, {count}, got {classes}.")
    else:
        order = given
        count = classes or (len(given) if given is not None else len(values))
        if classes is None and given is None:
            _refuse_gaps(keys, values)
            _refuse_ids(keys, len(values), len(whole), classes)
        for key, array in arrays.items():
            bad = array >= count
            if bad.any():
                index = int(bad.argmax())
                raise UsageError(f"npz: {key} must be in [0, {count}), got {array[index]} at index {index}.")
        numbered = {key: array.astype(np.int64) for key, array in arrays.items()}
    return Classes({key: torch.from_numpy(array) for key, array in numbered.items()}, count, order)


def _kind(array: Array) -> str:
    return {"i": "number", "u": "number", "U": "word"}.get(array.dtype.kind, array.dtype.kind)


def _names(names: Array) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise UsageError(
            f"npz: class_names must be different words [K], got {names.dtype} {list(names.shape)}.",
            'Write np.array(["cat", "dog"]).',
        )
    listed: list[str] = names.tolist()
    for place, name in enumerate(listed):
        if not name.strip() or name in listed[:place]:
            got = "twice" if name.strip() else "which shows nothing"
            raise UsageError(f"npz: class_names must be different words [K], got {name!r} at index {place}, {got}.")
    return tuple(listed)


def _check(key: str, array: Array) -> None:
    """Refuse what cannot be labels by its type, shape or sign."""
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        hint = "Give one number or word an image."
        if array.ndim == 1 and array.dtype.kind == "f":
            hint = f"Write {key}.astype(int) if they are whole numbers."
        elif array.ndim == 2:
            hint = f"Write {key}.reshape(-1)." if array.shape[1] == 1 else f"Write {key}.argmax(1) if they are one-hot."
        raise UsageError(f"npz: {key} must be integers [N], got {array.dtype} {list(array.shape)}.", hint)
    if array.dtype.kind == "i" and (array < 0).any():
        index = int((array < 0).argmax())
        raise UsageError(
            f"npz: {key} must be 0 or more, got {array[index]} at index {index}.", "Leave such images out."
        )


def _refuse_gaps(keys: str, values: Array) -> None:
    wrong = np.flatnonzero(values != np.arange(len(values), dtype=values.dtype))
    if not len(wrong):
        return
    shown = ", ".join(map(str, values[:_SHOWN].tolist())) + (
        f" and {len(values) - _SHOWN} more" * (len(values) > _SHOWN)
    )
    raise UsageError(
        f"npz: {keys} must be the classes 0 to {len(values) - 1} without a gap, got {shown} (no {int(wrong[0])}).",
        f"Set classes (--data.classes N) if classes without images belong to it; else {_NUMBERED}.",
    )


def _refuse_ids(keys: str, values: int, images: int, classes: int | None) -> None:
    """Refuse labels that tell images apart and not classes."""
    if classes is None and values > 2 and 2 * values > images:
        raise UsageError(
            f"npz: {keys} must be classes of several images, got {values} different labels for {images} images.",
            "Leave out what only numbers or names the images; set classes (--data.classes N) if it is meant.",
        )
