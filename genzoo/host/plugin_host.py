"""Finding plugins: every entry point of the group ``genzoo.plugins``, loaded one by one in isolation.

Importing this module imports neither torch nor pydantic.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Collection, Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from genzoo import hookspecs
from genzoo.declare import RESOURCE_KINDS
from genzoo.errors import Interrupted, MissingPluginError, PluginError, UsageError, describe
from genzoo.host import origin
from genzoo.host.discovery import (
    ALLOW_VARIABLE,
    Discovery,
    Plugin,
    Problem,
    distribution_of,
    entry_points_of,
    is_allowed,
    normal,
)
from genzoo.host.guard import Guard
from genzoo.host.installed import Installed, InstalledResource, nearest
from genzoo.types import Kind

__all__ = ["Host", "Installed", "InstalledResource", "Plugin", "Problem", "host"]

GROUP = "genzoo.plugins"
SERIOUS = frozenset({"fatal", "missing", "unfit", "broken", "incompatible", "intrusive", "duplicate"})
"""The kinds of problem that every command warns of; `genzoo doctor` shows the others too."""

_log = logging.getLogger("genzoo.host.plugin_host")
_T = TypeVar("_T", Installed, InstalledResource)


class Host:
    """The installed plugins.

    Args:
        entry_points: What to load; the installed entry points of ``genzoo.plugins`` by default.
        allow: Names of the distributions or entry points that may be loaded, the others are never imported. By
            default what the variable ``GENZOO_LOAD_PLUGINS`` lists, separated by commas; all when it is unset,
            none when it is empty.
        without: (distribution, entry point) of those that are never imported, since they would end the process.

    Attributes:
        problems: What is wrong with which plugin.
        plugins: Every entry point, loaded or not.
    """

    def __init__(
        self,
        entry_points: Iterable[EntryPoint] | None = None,
        allow: Collection[str] | None = None,
        without: Collection[tuple[str, str]] = (),
    ) -> None:
        allowed = _allow_list() if allow is None else {normal(name) for name in allow}
        with Guard() as guard:
            found = Discovery(guard)
            points = entry_points_of(GROUP, found) if entry_points is None else entry_points
            owned = [(distribution_of(point), point) for point in points]
            for owner, point in sorted(owned, key=lambda item: (item[0][0], item[1].name)):
                if (owner[0], point.name) in without:
                    found.plugins.append(Plugin(point.name, *owner, status="fatal"))
                else:
                    found.load(point, owner, allowed)
            found.finish()
        self._discovery = found
        self._components = sorted(found.components, key=lambda item: (item.kind, item.name, item.distribution))
        self._resources = sorted(found.resources, key=lambda item: (item.kind, item.name, item.distribution))
        self.problems = found.problems
        self.plugins = found.plugins
        self._warn()

    @property
    def hook(self) -> Any:
        """Pluggy's hook relay; `call_lifecycle` is the way to call a tracker."""
        return self._discovery.manager.hook

    def components(self, kind: Kind | None = None) -> list[Installed]:
        """The installed components, of one kind or all, sorted by kind and name."""
        return [item for item in self._components if kind is None or item.kind == kind]

    def resources(self, kind: str | None = None) -> list[InstalledResource]:
        """The installed recipes, reproductions and trained runs, sorted by kind and name."""
        return [item for item in self._resources if kind is None or item.kind == kind]

    def get(self, kind: Kind | str, name: str) -> Installed:
        """The component of that kind and name.

        Args:
            kind: One of the nine kinds.
            name: Its name, or ``dist:name``.

        Raises:
            PluginError: If nothing provides the name, or what does is broken.
            UsageError: If the kind is unknown, or two distributions provide the name.
        """
        if kind not in set(Kind):
            rule = f"get: kind must be one of {', '.join(Kind)}, got {str(kind)!r}."
            raise UsageError(rule, "Write NAME, KIND/NAME or DIST:NAME.")
        name = name.removeprefix(f"{kind}/")
        return self._one(self.components(Kind(kind)), str(kind), name)

    def resource(self, kind: str, name: str) -> InstalledResource:
        """The recipe, reproduction or trained run of that name; raises as `get` does."""
        if kind not in RESOURCE_KINDS:
            raise UsageError(f"resource: kind must be one of {', '.join(RESOURCE_KINDS)}, got {kind!r}.")
        return self._one(self.resources(kind), kind, name)

    def find(self, name: str) -> list[Installed]:
        """The components of any kind by that name, written ``NAME``, ``KIND/NAME``, or either with ``dist:``."""
        kind, _, bare = name.rpartition("/")
        return [item for item in self._components if kind in {"", item.kind} and _named(item, bare)]

    def one(self, name: str) -> Installed:
        """The only component that `find` finds.

        Raises:
            PluginError: If nothing provides the name, or what does is broken.
            UsageError: If the name could mean two kinds, or two distributions provide it.
        """
        kind, slash, bare = name.rpartition("/")
        if slash:
            return self.get(kind, bare)
        found = self.find(name)
        kinds = sorted({item.kind for item in found})
        if len(kinds) > 1:
            choices = " or ".join(f"{item}/{name}" for item in kinds)
            raise UsageError(f"{name!r} is the name of a {' and of a '.join(kinds)}.", f"Say {choices}.")
        return self._one(found or self._components, kinds[0] if kinds else "", name)

    def require(self, parts: Iterable[tuple[Kind, str]]) -> None:
        """Checks that components are there, so that all that are missing are named at once.

        Args:
            parts: The kind and the name of each.

        Raises:
            PluginError: If one is missing or broken.
            UsageError: If two distributions provide a name.
        """
        missing: dict[str, MissingPluginError] = {}
        for kind, name in parts:
            try:
                self.get(kind, name)
            except MissingPluginError as error:
                missing.setdefault(f"{kind} {name}", error)
        if len(missing) == 1:
            raise next(iter(missing.values()))
        if missing:
            sources = dict.fromkeys(source for error in missing.values() for source in error.sources)
            raise MissingPluginError(f"What is needed is not installed: {', '.join(missing)}.", list(sources))

    def why_none(self, noun: str = "plugin") -> str:
        """What to say where there is no component of a kind: nothing installed, or nothing allowed."""
        disallowed = sum(plugin.status == "disallowed" for plugin in self.plugins)
        if disallowed:
            return f"No {noun} is loaded: {ALLOW_VARIABLE} keeps out {disallowed} of {len(self.plugins)} plugins."
        return f"No {noun} is installed. Install the official ones: {origin.everything()}"

    def call_lifecycle(self, name: str, **arguments: Any) -> list[Problem]:
        """Calls a lifecycle hook of every plugin that has it; one that raises stops neither the run nor the others.

        Args:
            name: One of `genzoo.hookspecs.LIFECYCLE_HOOKS`.
            arguments: The hook's arguments, all by keyword.

        Returns:
            A problem for each plugin that raised.
        """
        if name not in hookspecs.LIFECYCLE_HOOKS:
            raise UsageError(
                f"call_lifecycle: name must be one of {', '.join(hookspecs.LIFECYCLE_HOOKS)}, got {name!r}."
            )
        problems: list[Problem] = []
        for module, plugin in self._discovery.modules:
            try:
                # Copies, so that no tracker changes what is recorded or what the next one sees.
                self._discovery.call(module, name, **copy.deepcopy(arguments))
            except (KeyboardInterrupt, Interrupted):
                raise
            except Exception as error:
                cause = f"its {name} raised {describe(error)}"
                fix = f"Update or remove it: {origin.upgrade(plugin.distribution)}, or pip uninstall {plugin.distribution}"
                problems.append(Problem(plugin.name, plugin.distribution, plugin.version, cause, "broken", fix))
        return problems

    def _warn(self) -> None:
        serious = [problem for problem in self.problems if problem.kind in SERIOUS]
        if serious:
            more = f" And {len(serious) - 1} more." if len(serious) > 1 else ""
            _log.warning("%s%s See `genzoo doctor`.", serious[0], more)

    def _one(self, items: list[_T], kind: str, name: str) -> _T:
        found = [item for item in items if _named(item, name)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = [item.qualified for item in found]
            raise UsageError(
                f"{kind} {name!r} is claimed by {' and '.join(item.distribution for item in found)}.",
                f"Say {' or '.join(choices)}.",
            )
        raise self._unknown(kind, name, sorted({item.name for item in items}))

    def _unknown(self, kind: str, name: str, choices: list[str]) -> PluginError:
        """The error for a name that nothing provides: broken, catalogued but absent, or plainly unknown."""
        from genzoo.host import catalogue

        noun = kind or "plugin"
        entry = catalogue.shipped(kind, name) if kind in RESOURCE_KINDS else catalogue.lookup(kind or None, name)
        for problem in self.problems:
            if problem.kind in {"slow", "imports-torch", "duplicate", "intrusive"} or not _about(
                problem, kind, name, entry.distribution if entry else ""
            ):
                continue
            message = f"{noun} {name!r} cannot be loaded: {problem}"
            return (
                MissingPluginError(message, problem.sources) if problem.sources else PluginError(message, problem.fix)
            )
        if entry is not None:
            return MissingPluginError(f"{noun} {name!r} is not installed.", origin.arguments([entry.source]))
        suspects = [item.distribution for item in self.plugins if item.status == "broken"]
        maybe = f" Or it belongs to {', '.join(suspects)}, which is broken: see `genzoo doctor`." if suspects else ""
        there = f"There are: {', '.join(choices)}." if kind else "See `genzoo list`."
        there = there if choices else self.why_none(noun)
        guess = nearest(name, [*choices, *catalogue.names(kind or None)]).strip()
        return PluginError(f"There is no {noun} {name!r}. {guess}".strip(), f"{there}{maybe}")


def allowed_points() -> list[EntryPoint]:
    """The installed entry points that may be imported; none of them is."""
    allowed = _allow_list()
    points = entry_points_of(GROUP, Discovery(Guard()))
    return [point for point in points if is_allowed(point.name, distribution_of(point)[0], allowed)]


@lru_cache(maxsize=1)
def host() -> Host:
    """The installed plugins of this process, found once; ``host.cache_clear()`` forgets them."""
    return Host()


def _named(item: Installed | InstalledResource, name: str) -> bool:
    """Whether ``name``, written ``NAME`` or ``dist:NAME``, means this item."""
    owner, _, bare = name.rpartition(":")
    return bare == item.name and (not owner or normal(owner) == normal(item.distribution))


def _about(problem: Problem, kind: str, name: str, distribution: str) -> bool:
    """Whether a problem explains why ``name`` is missing."""
    owner, _, bare = name.rpartition(":")
    if owner:
        return normal(owner) == normal(problem.distribution)
    if problem.concerns:
        return any(bare == key.partition("/")[2] and key.startswith(kind) for key in problem.concerns)
    return bare == problem.entry_point or (bool(distribution) and normal(distribution) == normal(problem.distribution))


def _allow_list() -> set[str] | None:
    value = os.environ.get(ALLOW_VARIABLE)
    return None if value is None else {normal(name) for name in value.split(",") if name.strip()}
