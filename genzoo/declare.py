"""How a plugin declares its components: cheap values that name their code without importing it. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import pluggy

from genzoo.errors import PluginError
from genzoo.types import Kind

API_VERSION = "1.1"
"""The plugin API of this genzoo, ``major.minor``. A declaration is loaded if it states the same major version and no newer
minor one: a minor version only adds."""

UNSTATED_API = "1.0"
"""What a declaration that states no version counts as, whatever genzoo is installed."""

PROJECT = "genzoo"
_F = TypeVar("_F", bound=Callable[..., Any])


class _Marker(Protocol):
    def __call__(self, function: _F, /) -> _F: ...


hookimpl = cast("_Marker", pluggy.HookimplMarker(PROJECT))
"""Marks a function of a plugin's declaration module as the implementation of the hook of that name."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_API = re.compile(r"\d+\.\d+")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

RESOURCE_KINDS = ("recipe", "reproduction", "run")

Companion = str | tuple[str, Mapping[str, Any]]

NOT_TAKEN = "-"
"""As a model's companion: the model takes no part of that kind, and one that the user names is refused."""

FIELD = "field"
"""Key of the network that a prior's fields are made of, beside the kinds; see `genzoo.interfaces.Network.field`."""


@dataclass(frozen=True)
class Component:
    """A declaration of one plugin component.

    Args:
        kind: One of the nine kinds, such as ``"model"``.
        name: Kebab-case, unique within the kind.
        target: ``"package.module:Class"``, imported when the component is used; inherited when ``base`` is given.
        options: ``"package.module:Options"``, a torch-free module; empty for a component without options.
        summary: One line for ``genzoo list``.
        base: Name of a declaration of the same kind that this one derives from.
        companions: For a model: kind → name, or (name, options), of the parts it wants when the user names none, or
            `NOT_TAKEN`. For a prior: `FIELD` → the network that its fields are made of, likewise.
        defaults: Values of the options that differ from the options model's own defaults.
        paper: Citation or URL.
        requires_extra: Import names that an optional feature needs, for ``genzoo doctor``.
        api: Plugin API version that the declaration was written for, such as ``"1.0"``; state it.
        expected_failures: Contract check → reason, for the checks of `genzoo.testing` that this component fails on
            purpose; one that passes after all is a failure.

    Raises:
        PluginError: If the kind, name or target is malformed.

    Example:
        >>> Component("model", "beta-vae", base="vae", companions={"loss": ("elbo", {"beta": 4})}, api="1.0").kind
        <Kind.MODEL: 'model'>
    """

    kind: Kind
    name: str
    target: str = ""
    options: str = ""
    summary: str = ""
    base: str | None = None
    companions: Mapping[str, Companion] = field(default_factory=dict[str, Companion])
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    paper: str = ""
    requires_extra: tuple[str, ...] = ()
    api: str = UNSTATED_API
    expected_failures: Mapping[str, str] = field(default_factory=dict[str, str])

    def __init__(
        self,
        kind: Kind | str,
        name: str,
        target: str = "",
        options: str = "",
        summary: str = "",
        base: str | None = None,
        companions: Mapping[str, Companion] | None = None,
        defaults: Mapping[str, Any] | None = None,
        paper: str = "",
        requires_extra: tuple[str, ...] = (),
        api: str = UNSTATED_API,
        expected_failures: Mapping[str, str] | None = None,
    ) -> None:
        def fail(argument: str, rule: str, got: object) -> None:
            raise PluginError(f"Component: {argument} must be {rule}, got {got!r}.", "Correct the declaration.")

        words = {"name": name, "target": target, "options": options, "summary": summary, "paper": paper, "api": api}
        for argument, value in words.items():
            if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                fail(argument, "text", value)
        tables = {"companions": companions, "defaults": defaults, "expected_failures": expected_failures}
        for argument, value in tables.items():
            if not isinstance(value or {}, Mapping) or not all(isinstance(key, str) for key in value or {}):  # pyright: ignore[reportUnnecessaryIsInstance]
                fail(argument, "a mapping with names as keys", value)
        if not isinstance(kind, str) or kind not in set(Kind):  # pyright: ignore[reportUnnecessaryIsInstance]
            fail("kind", "one of " + ", ".join(Kind), kind)
        if not _NAME.fullmatch(name):
            fail("name", "kebab-case", name)
        if base is not None and not isinstance(base, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            fail("base", "the name of another declaration", base)
        if base is None and not _TARGET.fullmatch(target):
            fail("target", '"package.module:Class" unless a base is named', target)
        if options and not _TARGET.fullmatch(options):
            fail("options", '"package.module:Options"', options)
        if not _API.fullmatch(api):
            fail("api", '"major.minor", such as "1.0"', api)
        if isinstance(requires_extra, str) or not all(isinstance(module, str) for module in requires_extra):  # pyright: ignore[reportUnnecessaryIsInstance]
            fail("requires_extra", "a tuple of import names", requires_extra)
        if companions and kind != Kind.MODEL and (kind != Kind.PRIOR or set(companions) != {FIELD}):
            fail("companions", "those of a model, or a prior's field", companions)
        for companion, chosen in (companions or {}).items():
            if companion not in {*Kind, FIELD}:
                fail("companions", "keyed by kind", companion)
            if not isinstance(chosen, str) and not _is_name_with_options(chosen):
                fail("companions", "a name or (name, options) for each kind", chosen)
        values = {
            "kind": Kind(kind),
            "name": name,
            "target": target,
            "options": options,
            "summary": summary,
            "base": base,
            "companions": dict(companions or {}),
            "defaults": dict(defaults or {}),
            "paper": paper,
            "requires_extra": tuple(requires_extra),
            "expected_failures": dict(expected_failures or {}),
            "api": api,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def needs(self) -> list[tuple[Kind, str]]:
        """Kind and name of every component that the companions name."""
        named = {slot: value if isinstance(value, str) else value[0] for slot, value in self.companions.items()}
        return [
            (Kind.NETWORK if slot == FIELD else Kind(slot), name) for slot, name in named.items() if name != NOT_TAKEN
        ]


def _is_name_with_options(value: object) -> bool:
    match value:
        case (str(), Mapping() as options):
            return all(isinstance(key, str) for key in options)
        case _:
            return False


@dataclass(frozen=True)
class Resource:
    """A file or folder that a plugin ships: a recipe, a reproduction, or a trained run (an animal of the zoo).

    Args:
        kind: ``"recipe"`` (a TOML file for ``genzoo run --recipe NAME``), ``"reproduction"`` (a TOML file for
            ``genzoo reproduce NAME``) or ``"run"`` (a run folder, loaded as ``zoo:NAME``).
        name: Kebab-case, unique within the kind.
        path: ``"package:relative/path"`` of package data.
        summary: One line.
        sha256: Of the file, or for a run of its checkpoint's manifest; verified when the resource is read.
    """

    kind: str
    name: str
    path: str
    summary: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        for argument in ("kind", "name", "path", "summary", "sha256"):
            if not isinstance(getattr(self, argument), str):
                raise PluginError(f"Resource: {argument} must be text, got {getattr(self, argument)!r}.")
        if self.kind not in RESOURCE_KINDS:
            raise PluginError(f"Resource: kind must be one of {', '.join(RESOURCE_KINDS)}, got {self.kind!r}.")
        if not _NAME.fullmatch(self.name):
            raise PluginError(f"Resource: name must be kebab-case, got {self.name!r}.")
        if ":" not in self.path:
            raise PluginError(f'Resource: path must be "package:relative/path", got {self.path!r}.')
