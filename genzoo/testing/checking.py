"""What a check is, and the register of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from genzoo.errors import UsageError
from genzoo.host.installed import nearest
from genzoo.types import Kind

if TYPE_CHECKING:
    from genzoo.testing.subject import Subject

_F = TypeVar("_F", bound="Callable[[Any], None]")

EVERY_KIND = tuple(Kind)
_MODULES = (
    "every_kind",
    "examples",
    "options",
    "modules",
    "runs",
    "splits_read",
    "model",
    "model_capabilities",
    "model_training",
    "model_values",
    "generator",
    "loss",
    "loss_values",
    "loss_promises",
    "objective",
    "prior",
    "prior_values",
    "scheduler",
    "visualizer",
    "visualizer_values",
    "likelihood",
    "likelihood_values",
    "network",
    "field",
    "dataset",
    "dataset_values",
    "metric",
    "metric_values",
)
_FAMILIES = {
    "model": "model",
    "model_capabilities": "model",
    "model_training": "model",
    "model_values": "model",
    "generator": "generator",
    "loss": "loss",
    "loss_values": "loss",
    "loss_promises": "loss",
    "objective": "objective",
    "network": "bodies",
    "field": "field",
}
"""Module of checks → what a component must be, beyond its kind, for them to be asked; see `Subject.families`."""

_registered: list[Check] = []


class CheckFailure(AssertionError):
    """A check that failed: what it expected, and what it saw.

    Args:
        expected: What the contract says, a phrase without its full stop.
        seen: What the plugin did, likewise.
    """

    def __init__(self, expected: object, seen: object) -> None:
        super().__init__(f"expected {expected}, saw {seen}")
        self.expected = str(expected)
        self.seen = str(seen)


class NotApplicable(Exception):
    """A check that does not apply to this component, and why; declared by a check's ``applies``, or raised in it."""


class Unavailable(NotApplicable):
    """A check that cannot run on this machine, because data or a package is not here; it counts towards the floor."""


def expect(condition: object, expected: object, seen: object) -> None:
    """Fails the check unless the condition holds.

    Raises:
        CheckFailure: If it does not.
    """
    if not condition:
        raise CheckFailure(expected, seen)


@dataclass(frozen=True)
class Check:
    """One thing that the contract asks of a component.

    Args:
        id: Kebab-case name, unique within a kind.
        kinds: The kinds that it is asked of.
        title: One sentence that is true of a correct plugin.
        why: What goes wrong for users of a plugin that fails it.
        mend: What its author should do.
        run: Raises `CheckFailure` when the component fails.
        applies: Why the check does not apply to a component, or None when it does.
        gate: Whether the checks after it make no sense once it failed.
        family: What the component must be beyond its kind; empty: anything.
        declares: Whether it looks at the declaration, so that it is asked of one that derives its class too.
    """

    id: str
    kinds: frozenset[Kind]
    title: str
    why: str
    mend: str
    run: Callable[[Subject], None]
    applies: Callable[[Subject], str | None]
    gate: bool = False
    family: str = ""
    declares: bool = False

    def message(self, failure: CheckFailure) -> str:
        """The report of a failure: what was expected and seen, why it matters, and how to mend it."""
        return (
            f"{self.id}: {self.title}\n"
            f"  expected: {failure.expected}\n"
            f"  seen:     {failure.seen}\n"
            f"  why:      {self.why}\n"
            f"  mend:     {self.mend}"
        )


def check(
    id: str,
    *kinds: Kind,
    why: str,
    mend: str,
    applies: Callable[[Subject], str | None] = lambda subject: None,
    gate: bool = False,
    declares: bool = False,
) -> Callable[[_F], _F]:
    """Registers a function as a check; the first line of its docstring is the title.

    Args:
        id: Kebab-case name.
        kinds: The kinds that it is asked of.
        why: What goes wrong for users of a plugin that fails it.
        mend: What its author should do.
        applies: From the subject to why the check does not apply, or None when it does.
        gate: Whether the checks after it make no sense once it failed.
        declares: Whether it looks at the declaration, and not at what the class does.
    """

    def register(function: _F) -> _F:
        if any(item.id == id and item.kinds & set(kinds) for item in _registered):
            raise ValueError(f"check: id must be unique within a kind, got {id!r} twice.")
        title = (function.__doc__ or "").strip().splitlines()[0]
        family = _FAMILIES.get(function.__module__.rpartition(".")[2], "")
        _registered.append(Check(id, frozenset(kinds), title, why, mend, function, applies, gate, family, declares))
        return function

    return register


@lru_cache(maxsize=1)
def _load() -> None:
    for module in _MODULES:
        import_module(f"genzoo.testing.checks.{module}")


def all_checks(kind: Kind | None = None) -> tuple[Check, ...]:
    """Every check, or those asked of one kind, in the order in which they run."""
    _load()
    return tuple(item for item in _registered if kind is None or kind in item.kinds)


def refuse_unknown(ids: Iterable[str], kind: Kind | None = None) -> None:
    """Refuses names that no check has.

    Raises:
        UsageError: With the nearest name.
    """
    known = [item.id for item in all_checks(kind)]
    for id in ids:
        if id not in known:
            of = f" of a {kind}" if kind else ""
            raise UsageError(f"checks: name must be one of the checks{of}, got {id!r}.{nearest(id, known)}")
