"""A plugin's options in words: flag, type, default, bounds and description. Imports no torch."""

from __future__ import annotations

import enum
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from genzoo.host.installed import Installed
from genzoo.types import Kind

FLAGS: dict[Kind, str] = {Kind.DATASET: "data", Kind.VISUALIZER: "viz"}
"""The flag that chooses a part, where it is not called as its kind is."""

_KEYED = frozenset({Kind.VISUALIZER, Kind.METRIC})
"""The kinds of which a run takes several, so that a flag names the plugin too."""

_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    type(None): "unset",
    Any: "anything",
}
_SIGNS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "a multiple of"))


@dataclass(frozen=True)
class OptionHelp:
    """One option of a plugin.

    Args:
        name: Its name as typed, such as ``latent-dim``.
        flag: The whole flag, such as ``--model.latent-dim``.
        type: Its type in words.
        default: Its value when nobody sets it, as JSON would hold it.
        bounds: What the value must satisfy, such as ``≥ 1``; empty when anything goes.
        description: What it does.
    """

    name: str
    flag: str
    type: str
    default: Any
    bounds: str
    description: str


def option_help(installed: Installed) -> list[OptionHelp]:
    """The options of a component, in the order of its options model.

    Args:
        installed: The component; its options module is imported, its code is not.

    Returns:
        One entry an option, with the declaration's own defaults over the model's.

    Raises:
        PluginError: If the options module is broken.
    """
    declared = {key.replace("-", "_"): value for key, value in installed.component.defaults.items()}
    prefix = FLAGS.get(installed.kind, str(installed.kind))
    if installed.kind in _KEYED:
        prefix = f"{prefix}.{installed.name}"
    rows: list[OptionHelp] = []
    for field, info in installed.options_class().model_fields.items():
        name = field.replace("_", "-")
        default = declared[field] if field in declared else info.get_default(call_default_factory=True)
        rows.append(
            OptionHelp(
                name=name,
                flag=f"--{prefix}.{name}",
                type=type_in_words(info.annotation),
                default=default,
                bounds=bounds_in_words(info.metadata),
                description=info.description or "",
            )
        )
    return rows


def type_in_words(annotation: Any) -> str:
    """A type as a reader of ``--help`` would say it.

    Example:
        >>> type_in_words(int | None), type_in_words(Literal["pca", "tsne"]), type_in_words(tuple[int, ...])
        ('integer or unset', 'pca | tsne', 'integers')
    """
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return type_in_words(arguments[0])
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(type_in_words(item) for item in arguments))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " | ".join(str(item.value) for item in annotation)
    if _is_class(origin, Mapping):
        return "table"
    if origin is tuple and arguments[-1:] != (...,):
        return f"({', '.join(type_in_words(item) for item in arguments)})"
    if _is_class(origin, Collection):
        return f"{type_in_words(arguments[0])}s"
    return getattr(annotation, "__name__", str(annotation))


def bounds_in_words(metadata: Iterable[Any]) -> str:
    """What a field's constraints ask of a value, such as ``≥ 0, < 1``; empty when they ask nothing."""
    parts: list[str] = []
    for item in metadata:
        parts += [
            f"{sign} {_number(getattr(item, key))}" for key, sign in _SIGNS if getattr(item, key, None) is not None
        ]
        shortest, longest = getattr(item, "min_length", None), getattr(item, "max_length", None)
        if shortest:
            parts.append(f"at least {shortest} long")
        if longest is not None:
            parts.append(f"at most {longest} long")
        if getattr(item, "pattern", None):
            parts.append(f"matching {item.pattern}")
    return ", ".join(parts)


def value_in_words(value: Any) -> str:
    """A default as one would type it: ``none`` for None, lower-case booleans, elements separated by commas."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ",".join(value_in_words(item) for item in value)
    return str(value)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_class(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)
