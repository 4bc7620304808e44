"""The list of wrong plugins: which check each is meant to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from genzoo.declare import Component
from genzoo.host.installed import Installed
from genzoo.types import Kind

_C = TypeVar("_C", bound=type)


@dataclass(frozen=True)
class Wrong:
    """One wrong plugin.

    Args:
        plugin: As if it were installed.
        check: The check that is meant to catch it.
        also: Other checks that fail for the same defect.
        module: Its declaration module.
        alone: Whether it can be put before all checks in this process (not if its import changes the process).
        defect: The row of the table of defects in released libraries that it shows, if one.
        says: What the message must contain.
    """

    plugin: Installed
    check: str
    also: frozenset[str] = frozenset()
    module: str = "wrong_plugins.declared"
    alone: bool = True
    defect: str = ""
    says: str = ""

    @property
    def id(self) -> str:
        return f"{self.plugin.kind}/{self.check}/{self.plugin.name}"


WRONG: list[Wrong] = []
RIGHT: list[Installed] = []


def kind_of(cls: type) -> Kind:
    """The kind of the interface that a class derives from."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("genzoo.interfaces")]
    name = bases[0].__name__.lower()
    return Kind({"generator": "model", "latentgenerator": "model", "objective": "loss"}.get(name, name))


def installed(cls: type, name: str, version: str = "1.0", **declared: Any) -> Installed:
    """A class as if a distribution declared it."""
    kind = declared.pop("kind", None) or kind_of(cls)
    target = declared.pop("target", f"{cls.__module__}:{cls.__qualname__}")
    summary = declared.pop("summary", "Made for tests")
    return Installed(Component(kind, name, target, summary=summary, **declared), "wrong-plugins", version, "wrong")


def _kebab(name: str) -> str:
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")


def wrong(
    check: str,
    *,
    also: tuple[str, ...] = (),
    module: str = "wrong_plugins.declared",
    alone: bool = True,
    defect: str = "",
    says: str = "",
    version: str = "1.0",
    name: str = "",
    **declared: Any,
) -> Callable[[_C], _C]:
    """Puts a class on the list; see `Wrong`."""

    def note(cls: _C) -> _C:
        plugin = installed(cls, name or _kebab(cls.__name__), version, **declared)
        WRONG.append(Wrong(plugin, check, frozenset(also), module, alone, defect, says))
        return cls

    return note


def right(**declared: Any) -> Callable[[_C], _C]:
    """Puts a class on the list of correct but unusual plugins."""

    def note(cls: _C) -> _C:
        RIGHT.append(installed(cls, f"correct-{_kebab(cls.__name__)}", **declared))
        return cls

    return note
