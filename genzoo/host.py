"""Finding plugins: every entry point of the group ``genzoo.plugins``, loaded one by one in isolation.

Importing this module imports neither torch nor pydantic.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from genzoo import hookspecs
from genzoo.declare import API_VERSION, PROJECT, RESOURCE_KINDS, Component, Resource
from genzoo.errors import Interrupted, PluginError, UsageError
from genzoo.installed import Installed, InstalledResource, describe, isolated, nearest
from genzoo.types import Kind

__all__ = ["Host", "Installed", "InstalledResource", "Plugin", "Problem", "host"]

GROUP = "genzoo.plugins"
ALLOW_VARIABLE = "GENZOO_LOAD_PLUGINS"
SLOW_SECONDS = 0.5
"""A declaration module that takes longer than this to import is reported as slow."""

SERIOUS = frozenset({"broken", "incompatible", "duplicate"})
"""The kinds of problem that every command warns of; `genzoo doctor` shows the others too."""

_log = logging.getLogger("genzoo.host")
_T = TypeVar("_T", Installed, InstalledResource)


@dataclass(frozen=True)
class Problem:
    """Something wrong with one plugin, which stops nothing but what needs that plugin.

    Args:
        entry_point: Name of the entry point.
        distribution: Name of the distribution.
        version: Version of the distribution.
        cause: What was found, one sentence without its full stop.
        kind: ``broken``, ``incompatible``, ``duplicate``, ``disallowed``, ``slow`` or ``imports-torch``.
        fix: What to do about it.
        concerns: ``kind/name`` of the components that it takes away, where they are known.
    """

    entry_point: str
    distribution: str
    version: str
    cause: str
    kind: str
    fix: str
    concerns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"plugin {self.entry_point} ({self.distribution} {self.version}) is {self.kind}: {self.cause}."


@dataclass
class Plugin:
    """One entry point and what became of it.

    Args:
        name: Name of the entry point.
        distribution: Name of the distribution.
        version: Version of the distribution.
        status: ``loaded``, ``broken`` or ``disallowed``.
        seconds: Time to import its declaration module and call its hooks.
        imports_torch: Whether that imported torch; known for the first culprit only.
        api: Plugin API versions that its declarations state.
    """

    name: str
    distribution: str
    version: str
    status: str = "loaded"
    seconds: float = 0.0
    imports_torch: bool = False
    api: set[str] = field(default_factory=set[str])


class Host:
    """The installed plugins.

    Args:
        entry_points: What to load; the installed entry points of ``genzoo.plugins`` by default.
        allow: Names of the distributions or entry points that may be loaded, the others are never imported. By
            default what the variable ``GENZOO_LOAD_PLUGINS`` lists, separated by commas; all when it is unset,
            none when it is empty.

    Attributes:
        problems: What is wrong with which plugin.
        plugins: Every entry point, loaded or not.
    """

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None, allow: Collection[str] | None = None) -> None:
        self.problems: list[Problem] = []
        self.plugins: list[Plugin] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._records: dict[Any, Plugin] = {}
        self._found: list[Installed] = []
        self._resources: list[InstalledResource] = []
        allowed = _allow_list() if allow is None else {_normal(name) for name in allow}
        points = _installed_entry_points() if entry_points is None else entry_points
        for point in sorted(points, key=lambda point: (_distribution(point)[0], point.name)):
            self._load(point, allowed)
        self._resolve_bases()
        self._note_duplicates()
        self._found.sort(key=lambda item: (item.kind, item.name, item.distribution))
        self._resources.sort(key=lambda item: (item.kind, item.name, item.distribution))
        self._warn()

    @property
    def hook(self) -> Any:
        """Pluggy's hook relay; `call_lifecycle` is the way to call a tracker."""
        return self._manager.hook

    def components(self, kind: Kind | None = None) -> list[Installed]:
        """The installed components, of one kind or all, sorted by kind and name."""
        return [item for item in self._found if kind is None or item.kind == kind]

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
            raise UsageError(f"get: kind must be one of {', '.join(Kind)}, got {str(kind)!r}.")
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
        return [item for item in self._found if kind in {"", item.kind} and bare in {item.name, item.qualified}]

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
        return self._one(found or self._found, kinds[0] if kinds else "", name)

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
        for module, record in self._records.items():
            try:
                self._call(module, name, **arguments)
            except (KeyboardInterrupt, Interrupted):
                raise
            except Exception as error:
                problems.append(_problem(record, "broken", f"its {name} raised {describe(error)}", _UPDATE))
        return problems

    def _load(self, point: EntryPoint, allowed: set[str] | None) -> None:
        distribution, version = _distribution(point)
        record = Plugin(point.name, distribution, version)
        self.plugins.append(record)
        if allowed is not None and not allowed & {_normal(distribution), _normal(point.name)}:
            record.status = "disallowed"
            fix = f"Add {distribution} to the variable {ALLOW_VARIABLE}, or unset it."
            self.problems.append(_problem(record, "disallowed", f"{ALLOW_VARIABLE} does not list it", fix))
            return
        torch_before = "torch" in sys.modules
        start = time.perf_counter()
        try:
            with isolated():
                module = point.load()
            self._register(module, record)
        except (KeyboardInterrupt, Interrupted):
            raise
        except Exception as error:
            record.status = "broken"
            self.problems.append(
                _problem(record, "broken", f"importing {point.value} raised {describe(error)}", _UPDATE)
            )
        else:
            for hook in (*hookspecs.COMPONENT_HOOKS.values(), hookspecs.RESOURCE_HOOK):
                self._collect(module, hook, record)
        record.seconds = time.perf_counter() - start
        record.imports_torch = not torch_before and "torch" in sys.modules
        if record.imports_torch:
            fix = "Import torch in the modules that the declarations name, not in the declaration module."
            self.problems.append(_problem(record, "imports-torch", f"importing {point.value} imports torch", fix))
        if record.seconds > SLOW_SECONDS:
            cause = f"importing {point.value} took {record.seconds:.2f} s, more than {SLOW_SECONDS} s"
            self.problems.append(_problem(record, "slow", cause, "Import less in the declaration module."))

    def _register(self, module: Any, record: Plugin) -> None:
        try:
            self._manager.register(module, name=f"{record.distribution}:{record.name}")
        except pluggy.PluginValidationError:
            self._manager.unregister(module)
            raise
        self._records[module] = record
        # What pluggy's check_pending does, for one plugin and without raising.
        for caller in self._manager.get_hookcallers(module) or []:
            optional = all(impl.optionalhook for impl in caller.get_hookimpls() if impl.plugin is module)
            if caller.spec is None and not optional:
                known = [name for name in vars(hookspecs) if name.startswith("genzoo_")]
                cause = f"it implements {caller.name}, which is no hook.{nearest(caller.name, known)}".rstrip(".")
                self.problems.append(_problem(record, "broken", cause, "Correct the name of the hook."))

    def _call(self, module: Any, hook: str, **arguments: Any) -> list[Any]:
        """Calls one plugin's implementation of a hook, and none of the others'."""
        others = [plugin for plugin in self._manager.get_plugins() if plugin is not module]
        with isolated():
            return self._manager.subset_hook_caller(hook, others)(**arguments)

    def _collect(self, module: Any, hook: str, record: Plugin) -> None:
        try:
            with isolated():
                declared = [item for result in self._call(module, hook) for item in result]
        except (KeyboardInterrupt, Interrupted):
            raise
        except Exception as error:
            self.problems.append(_problem(record, "broken", f"its {hook} raised {describe(error)}", _UPDATE))
            return
        for item in declared:
            if isinstance(item, Resource) and hook == hookspecs.RESOURCE_HOOK:
                self._resources.append(InstalledResource(item, record.distribution, record.version, record.name))
            elif isinstance(item, Component) and hookspecs.COMPONENT_HOOKS[item.kind] == hook:
                record.api.add(item.api)
                self._admit(item, record)
            else:
                cause = f"its {hook} returned {item!r}, which is no declaration for that hook"
                self.problems.append(_problem(record, "broken", cause, _UPDATE))

    def _admit(self, component: Component, record: Plugin) -> None:
        concerns = (f"{component.kind}/{component.name}",)
        if str(component.api).split(".")[0] != API_VERSION.split(".")[0]:
            cause = f"{concerns[0]} is written for plugin API {component.api}, this genzoo has {API_VERSION}"
            fix = f"Install versions that match: pip install --upgrade genzoo {record.distribution}"
            self.problems.append(_problem(record, "incompatible", cause, fix, concerns))
            return
        mine = [item for item in self._found if item.distribution == record.distribution]
        if any((item.kind, item.name) == (component.kind, component.name) for item in mine):
            cause = f"it declares {concerns[0]} twice"
            self.problems.append(_problem(record, "duplicate", cause, "Remove one of the declarations.", concerns))
            return
        self._found.append(Installed(component, record.distribution, record.version, record.name))

    def _resolve_bases(self) -> None:
        declared = list(self._found)
        self._found = []
        for item in declared:
            try:
                component = _resolved(item, declared, ())
            except PluginError as error:
                concerns = (f"{item.kind}/{item.name}",)
                self.problems.append(
                    Problem(
                        item.entry_point,
                        item.distribution,
                        item.version,
                        error.message.rstrip("."),
                        "broken",
                        error.hint,
                        concerns,
                    )
                )
            else:
                self._found.append(Installed(component, item.distribution, item.version, item.entry_point))

    def _note_duplicates(self) -> None:
        claims: dict[str, list[Installed | InstalledResource]] = {}
        for item in (*self._found, *self._resources):
            claims.setdefault(f"{item.kind}/{item.name}", []).append(item)
        for key, items in claims.items():
            if len(items) > 1:
                first, last = items[0], items[-1]
                owners = " and ".join(item.distribution for item in items)
                fix = f"Say {' or '.join(item.qualified for item in items)}, or uninstall one: pip uninstall " + (
                    last.distribution
                )
                cause = f"{key} is claimed by {owners}"
                self.problems.append(
                    Problem(first.entry_point, first.distribution, first.version, cause, "duplicate", fix, (key,))
                )

    def _warn(self) -> None:
        serious = [problem for problem in self.problems if problem.kind in SERIOUS]
        if serious:
            more = f" And {len(serious) - 1} more." if len(serious) > 1 else ""
            _log.warning("%s%s See `genzoo doctor`.", serious[0], more)

    def _one(self, items: list[_T], kind: str, name: str) -> _T:
        found = [item for item in items if name in {item.name, item.qualified}]
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
        from genzoo import catalogue

        noun = kind or "plugin"
        entry = catalogue.lookup(kind or None, name)
        for problem in self.problems:
            if problem.kind == "slow" or not _about(problem, kind, name, entry.distribution if entry else ""):
                continue
            return PluginError(f"{noun} {name!r} cannot be loaded: {problem}", problem.fix)
        if entry is not None:
            return PluginError(f"{noun} {name!r} is not installed.", f"Install it: {entry.install}")
        suspects = [item.distribution for item in self.plugins if item.status == "broken"]
        maybe = f" Or it belongs to {', '.join(suspects)}, which is broken: see `genzoo doctor`." if suspects else ""
        there = f"There are: {', '.join(choices)}." if choices else f"No {noun} is installed: pip install 'genzoo[zoo]'"
        guess = nearest(name, [*choices, *catalogue.names(kind or None)]).strip()
        return PluginError(f"There is no {noun} {name!r}. {guess}".strip(), f"{there}{maybe}")


@lru_cache(maxsize=1)
def host() -> Host:
    """The installed plugins of this process, found once; ``host.cache_clear()`` forgets them."""
    return Host()


_UPDATE = "Update or remove it: pip install --upgrade {0}, or pip uninstall {0}"


def _problem(record: Plugin, kind: str, cause: str, fix: str, concerns: tuple[str, ...] = ()) -> Problem:
    fix = fix.format(record.distribution) if fix is _UPDATE else fix
    return Problem(record.name, record.distribution, record.version, cause, kind, fix, concerns)


def _about(problem: Problem, kind: str, name: str, distribution: str) -> bool:
    """Whether a problem explains why ``name`` is missing."""
    owner, _, bare = name.rpartition(":")
    if owner:
        return _normal(owner) == _normal(problem.distribution)
    if problem.concerns:
        return any(bare == key.partition("/")[2] and key.startswith(kind) for key in problem.concerns)
    return bare == problem.entry_point or (
        bool(distribution) and _normal(distribution) == _normal(problem.distribution)
    )


def _resolved(item: Installed, declared: list[Installed], seen: tuple[str, ...]) -> Component:
    """The declaration with its base's target and options; its own companions and defaults win over the base's."""
    own = item.component
    if own.base is None:
        return own
    if item.qualified in seen:
        raise PluginError(f"{own.kind}/{own.name} derives from itself", "Correct the declaration.")
    bases = [
        other
        for other in declared
        if other.kind == own.kind and own.base in {other.name, other.qualified} and other is not item
    ]
    if len(bases) != 1:
        reason = f"is claimed by {' and '.join(b.distribution for b in bases)}" if bases else "is not installed"
        fix = "Name the base as dist:name." if bases else f"Install the distribution that provides {own.base!r}."
        raise PluginError(f"{own.kind}/{own.name} derives from {own.base!r}, which {reason}", fix)
    base = _resolved(bases[0], declared, (*seen, item.qualified))
    return Component(
        own.kind,
        own.name,
        own.target or base.target,
        own.options or base.options,
        own.summary or base.summary,
        own.base,
        {**base.companions, **own.companions},
        {**base.defaults, **own.defaults},
        own.paper or base.paper,
        tuple(dict.fromkeys((*base.requires_extra, *own.requires_extra))),
        own.api,
    )


def _allow_list() -> set[str] | None:
    value = os.environ.get(ALLOW_VARIABLE)
    return None if value is None else {_normal(name) for name in value.split(",") if name.strip()}


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


def _installed_entry_points() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    owner = point.dist
    if owner is None:
        return point.value.partition(":")[0].partition(".")[0].replace("_", "-"), "unknown"
    return owner.name, owner.version
