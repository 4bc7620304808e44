"""Values as JSON that every reader takes, and back. JSON has no NaN and no infinities.

What is for people and other programs (run.json, metrics.jsonl, ``--json``) has null in their place; genzoo reads null
back as NaN wherever a number belongs. What must come back as it was (a checkpoint's state) has their names in their
place, as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = ("train", "holdout", "test", "quantities")
"""Fields of a row that hold numbers by name."""


def plain(value: Any) -> Any:
    """A value in JSON's own types, null for a number that is not finite; what has no type of JSON's becomes its string.

    Example:
        >>> plain({"values": (1.5, float("nan"))})
        {'values': [1.5, None]}
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def read_row(row: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl with NaN where `plain` put null for a number."""
    return {key: _numbers(value) if key in _NUMBERS else value for key, value in row.items()}


def read_record(record: dict[str, Any]) -> dict[str, Any]:
    """The content of run.json with NaN where `plain` put null for a number: in its summary and its metrics' values."""
    found = dict(record)
    if isinstance(found.get("summary"), dict):
        found["summary"] = read_row(found["summary"])
    if isinstance(found.get("metrics"), dict):
        found["metrics"] = {
            key: {**result, "values": _numbers(result["values"])} if "values" in result else result
            for key, result in found["metrics"].items()
        }
    return found


def spelled(value: Any) -> Any:
    """A value with the names of numbers that are not finite in their place, for `unspelled` to read back.

    Example:
        >>> spelled([1.5, float("-inf")])
        [1.5, '-Infinity']
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(item) for item in value]
    return value


def unspelled(value: Any) -> Any:
    """What `spelled` was given."""
    if isinstance(value, str):
        return _NAMES.get(value, value)
    if isinstance(value, dict):
        return {key: unspelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unspelled(item) for item in value]
    return value


def _numbers(value: Any) -> Any:
    """Numbers by name with NaN for null, save the ratio, which is null where there is no rate to divide by."""
    if isinstance(value, dict):
        return {name: None if name == "ratio" and item is None else _numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return math.nan if value is None else value
