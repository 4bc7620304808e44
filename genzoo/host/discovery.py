"""Loading declaration modules: each entry point by hand, in isolation, timed, its faults noted and never raised.

Importing this module imports neither torch nor pydantic.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pluggy

from genzoo import declare, hookspecs
from genzoo.declare import PROJECT, Component, Resource
from genzoo.errors import Interrupted, MissingPluginError, PluginError, describe
from genzoo.host import origin
from genzoo.host.contain import Contained
from genzoo.host.guard import Guard
from genzoo.host.installed import Installed, InstalledResource, import_fix, isolated, nearest, place
from genzoo.text import one_line

_log = logging.getLogger("genzoo.host.plugin_host")

ALLOW_VARIABLE = "GENZOO_LOAD_PLUGINS"
MOST_DECLARATIONS = 10_000
"""As many declarations of one hook are taken; a hook that never ends must not hang the host."""

SLOW_SECONDS = 0.5
"""A declaration module that takes longer than this to import is reported as slow."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with one plugin, which stops nothing but what needs that plugin.

    Args:
        entry_point: Name of the entry point.
        distribution: Name of the distribution.
        version: Version of the distribution.
        cause: What was found, one sentence without its full stop.
        kind: ``broken``, ``incompatible``, ``intrusive`` (it changes the process), ``duplicate``, ``disallowed``,
            ``slow``, ``imports-torch``, or, told by `genzoo doctor` alone, ``fatal`` (it ends or
            hangs the process), ``missing`` or ``unfit`` (a requirement).
        fix: What to do about it.
        concerns: ``kind/name`` of the components that it takes away, where they are known.
        sources: What pip must install to mend it, where something is missing.
    """

    entry_point: str
    distribution: str
    version: str
    cause: str
    kind: str
    fix: str
    concerns: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = f"plugin {self.entry_point} ({self.distribution} {self.version})"
        return one_line(f"{who} is {self.kind}: {self.cause}.")


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
        package: The top-level package of its declaration module.
    """

    name: str
    distribution: str
    version: str
    status: str = "loaded"
    seconds: float = 0.0
    imports_torch: bool = False
    api: set[str] = field(default_factory=set[str])
    package: str = ""


class Discovery:
    """What the entry points loaded so far declare.

    Attributes:
        manager: Pluggy's manager, with every plugin that loaded registered.
        problems: What is wrong with which plugin.
        plugins: Every entry point seen, loaded or not.
        components: The components declared.
        resources: The resources declared.
        modules: What each loaded entry point names, with its record.

    Args:
        guard: Entered around every `load` and `finish`.
    """

    def __init__(self, guard: Guard) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.problems: list[Problem] = []
        self.plugins: list[Plugin] = []
        self.components: list[Installed] = []
        self.resources: list[InstalledResource] = []
        self.modules: list[tuple[Any, Plugin]] = []
        self.guard = guard
        self._declared: set[tuple[str, str, str]] = set()

    def load(self, point: EntryPoint, owner: tuple[str, str], allowed: set[str] | None) -> None:
        """Imports one declaration module and calls its hooks.

        Args:
            point: The entry point.
            owner: Name and version of its distribution.
            allowed: Normalised names of the distributions and entry points that may be imported; None: all.
        """
        distribution, version = owner
        package = point.value.partition(":")[0].partition(".")[0].strip()
        record = Plugin(point.name, distribution, version, package=package)
        self.plugins.append(record)
        if not is_allowed(point.name, distribution, allowed):
            record.status = "disallowed"
            fix = f"Add {distribution} to the variable {ALLOW_VARIABLE}, or unset it."
            self.problems.append(_problem(record, "disallowed", f"{ALLOW_VARIABLE} does not list it", fix))
            return
        torch_before = "torch" in sys.modules
        start = time.perf_counter()
        changed: list[str] = []
        try:
            with Contained():
                try:
                    module = point.load()
                finally:  # before anything else is done in a process that may have been changed
                    changed += self.guard.undo(package)
                self._register(module, record)
        except KeyboardInterrupt:
            _log.warning(
                "interrupted while %s (%s %s) was imported. See `genzoo doctor`.", point.value, distribution, version
            )
            raise
        except Interrupted:
            raise
        except Exception as error:
            record.status = "broken"
            cause = f"importing {point.value} raised {describe(error)}{place(error, point.value)}"
            fix = import_fix(error, distribution, point.value)
            self.problems.append(_problem(record, "broken", cause, fix))
        else:
            implemented = {caller.name for caller in self.manager.get_hookcallers(module) or []}
            for hook in (*hookspecs.COMPONENT_HOOKS.values(), hookspecs.RESOURCE_HOOK):
                if hook in implemented:
                    self._collect(module, hook, record)
            changed += self.guard.undo(package)
        record.seconds = time.perf_counter() - start
        record.imports_torch = not torch_before and "torch" in sys.modules
        self._note_changes(record, point.value, changed)
        if record.imports_torch:
            fix = "Import torch in the modules that the declarations name, not in the declaration module."
            self.problems.append(_problem(record, "imports-torch", f"importing {point.value} imports torch", fix))
        if record.seconds > SLOW_SECONDS:
            cause = f"importing {point.value} took {record.seconds:.2f} s, more than {SLOW_SECONDS} s"
            self.problems.append(_problem(record, "slow", cause, "Import less in the declaration module."))

    def finish(self) -> None:
        """What is done once, after every entry point was loaded."""
        changed: dict[str, list[str]] = {}
        for what, package in self.guard.finish():
            changed.setdefault(package, []).append(what)
        for package, found in changed.items():
            record = next((plugin for plugin in self.plugins if plugin.package == package), None)
            self._note_changes(record or Plugin("?", "a plugin", "unknown"), package, found)
        self.resolve_bases()
        self.note_duplicates()

    def _note_changes(self, record: Plugin, imported: str, changed: list[str]) -> None:
        if changed:
            few = ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
            thread = any(what.startswith("left the thread") for what in changed)
            cause = f"importing {imported} {few}" + ("" if thread else ", which was put back")
            self.problems.append(_problem(record, "intrusive", cause, intrusive))

    def _register(self, module: Any, record: Plugin) -> None:
        try:
            self.manager.register(module, name=f"{record.distribution}:{record.name}")
        except pluggy.PluginValidationError:
            if self.manager.is_registered(module):  # as older versions of pluggy leave it
                self.manager.unregister(module)
            raise
        self.modules.append((module, record))
        # What pluggy's check_pending does, for one plugin and without raising.
        for caller in self.manager.get_hookcallers(module) or []:
            optional = all(impl.optionalhook for impl in caller.get_hookimpls() if impl.plugin is module)
            if caller.spec is None and not optional:
                known = [name for name in vars(hookspecs) if name.startswith("genzoo_")]
                fix = f"Correct the name of the hook.{nearest(caller.name, known)}"
                cause = f"it implements {caller.name}, which is no hook"
                self.problems.append(_problem(record, "broken", cause, fix))

    def call(self, module: Any, hook: str, **arguments: Any) -> list[Any]:
        """Calls one plugin's implementation of a hook, and none of the others'."""
        others = [plugin for plugin in self.manager.get_plugins() if plugin is not module]
        with isolated():
            return self.manager.subset_hook_caller(hook, others)(**arguments)

    def _collect(self, module: Any, hook: str, record: Plugin) -> None:
        """Calls one hook for its declarations; what is none is one problem, however many there are."""
        name = str(vars(module).get("__name__", record.name)) if hasattr(module, "__dict__") else record.name
        odd: list[str] = []
        try:
            with Contained():
                for result in self.call(module, hook):
                    for number, item in enumerate(result):
                        if number == MOST_DECLARATIONS:
                            odd.append(f"more than {MOST_DECLARATIONS} declarations")
                            break
                        if not self._take(item, hook, record):
                            odd.append(f"{_shown(item)}, which is no declaration for that hook")
        except (KeyboardInterrupt, Interrupted):
            raise
        except Exception as error:
            cause = f"its {hook} raised {describe(error)}{place(error, name)}"
            fix = import_fix(error, record.distribution, name)
            self.problems.append(_problem(record, "broken", cause, fix))
        if odd:
            more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
            self.problems.append(_problem(record, "broken", f"its {hook} returned {odd[0]}{more}", update))

    def _take(self, item: Any, hook: str, record: Plugin) -> bool:
        """Whether an item is a declaration for that hook; it is taken then, or noted as what cannot be."""
        if type(item) is Resource and hook == hookspecs.RESOURCE_HOOK:
            self.resources.append(InstalledResource(item, record.distribution, record.version, record.name))
        elif type(item) is Component and hookspecs.COMPONENT_HOOKS.get(item.kind) == hook:
            record.api.add(item.api)
            self._admit(item, record)
        else:
            return False
        return True

    def _admit(self, component: Component, record: Plugin) -> None:
        concerns = (f"{component.kind}/{component.name}",)
        written, ours = _version(component.api), _version(declare.API_VERSION)
        if written[0] != ours[0] or written > ours:
            cause = f"{concerns[0]} is written for plugin API {component.api}, this genzoo has {declare.API_VERSION}"
            line = origin.everything(newer=True) if written > ours else origin.upgrade(record.distribution)
            fix = f"Install versions that match: {line}"
            self.problems.append(_problem(record, "incompatible", cause, fix, concerns))
            return
        key = (record.distribution, component.kind, component.name)
        if key in self._declared:
            cause = f"it declares {concerns[0]} twice"
            self.problems.append(_problem(record, "duplicate", cause, "Remove one of the declarations.", concerns))
            return
        self._declared.add(key)
        self.components.append(Installed(component, record.distribution, record.version, record.name))

    def resolve_bases(self) -> None:
        """Gives every derived declaration what it inherits; one whose base is missing becomes a problem."""
        declared = list(self.components)
        self.components = []
        for item in declared:
            record = Plugin(item.entry_point, item.distribution, item.version)
            try:
                component = _resolved(item, declared, ())
            except PluginError as error:
                concerns = (f"{item.kind}/{item.name}",)
                problem = _problem(record, "broken", error.message.rstrip("."), error.hint, concerns)
                sources = error.sources if isinstance(error, MissingPluginError) else ()
                self.problems.append(replace(problem, sources=sources))
            else:
                self.components.append(replace(item, component=component))

    def note_duplicates(self) -> None:
        """Notes each name that two distributions claim."""
        claims: dict[str, list[Installed | InstalledResource]] = {}
        for item in (*self.components, *self.resources):
            claims.setdefault(f"{item.kind}/{item.name}", []).append(item)
        for key, items in claims.items():
            if len(items) > 1:
                last = items[-1]
                record = Plugin(last.entry_point, last.distribution, last.version)
                cause = f"{key} is claimed by {' and '.join(item.distribution for item in items)}"
                say = " or ".join(item.qualified for item in items)
                fix = f"Say {say}, or uninstall one: pip uninstall {last.distribution}"
                self.problems.append(_problem(record, "duplicate", cause, fix, (key,)))

    def note(self, distribution: str, cause: str) -> None:
        """Notes a distribution whose entry points cannot be read at all."""
        record = Plugin("?", distribution, "unknown", status="broken")
        self.plugins.append(record)
        self.problems.append(_problem(record, "broken", cause, update))


def intrusive(distribution: str) -> str:
    """What to do about a distribution whose declaration changes the process."""
    return (
        "If it is yours, do that where it is needed, in the code that the declarations name; else update or remove the "
        f"plugin: {_other(distribution)}"
    )


def update(distribution: str) -> str:
    """What to do about a distribution that is broken or too old."""
    return f"Update or remove it: {_other(distribution)}"


def _other(distribution: str) -> str:
    return f"{origin.upgrade(distribution)}, or pip uninstall {distribution}"


def _problem(
    record: Plugin, kind: str, cause: str, fix: str | Callable[[str], str], concerns: tuple[str, ...] = ()
) -> Problem:
    fix = fix if isinstance(fix, str) else fix(record.distribution)
    return Problem(record.name, record.distribution, record.version, cause, kind, fix, concerns)


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
    if len(bases) > 1:
        reason = f"is claimed by {' and '.join(other.distribution for other in bases)}"
        raise PluginError(f"{own.kind}/{own.name} derives from {own.base!r}, which {reason}", "Name it as dist:name.")
    if not bases:
        raise _without_base(own, own.base, declared)
    base = _resolved(bases[0], declared, (*seen, item.qualified))
    return replace(
        own,
        target=own.target or base.target,
        options=own.options or base.options,
        summary=own.summary or base.summary,
        companions={**base.companions, **own.companions},
        defaults={**base.defaults, **own.defaults},
        paper=own.paper or base.paper,
        requires_extra=tuple(dict.fromkeys((*base.requires_extra, *own.requires_extra))),
        expected_failures={**base.expected_failures, **own.expected_failures},
    )


def _without_base(own: Component, base: str, declared: list[Installed]) -> PluginError:
    """The error for a base that is not installed; one command installs it and the companions that are not either."""
    from genzoo.host import catalogue

    there = {(item.kind, name) for item in declared for name in (item.name, item.qualified)}
    absent = [(kind, name) for kind, name in [(own.kind, base), *own.needs()] if (kind, name) not in there]
    sources = origin.arguments(catalogue.sources(absent))
    message = f"{own.kind}/{own.name} derives from {base!r}, which is not installed"
    if catalogue.lookup(own.kind, base):
        return MissingPluginError(message, sources)
    return PluginError(message, f"Install the distribution that provides {base!r}.")


def _version(api: str) -> tuple[int, ...]:
    return tuple(int(part) for part in api.split("."))


def _shown(item: object) -> str:
    """An object as a problem shows it; its own text may be anything, or raise."""
    try:
        text = repr(item)
    except Exception:
        text = f"a {type(item).__name__}"
    return text if len(text) <= 80 else f"{text[:79]}…"


def normal(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def entry_points_of(group: str, discovery: Discovery) -> list[EntryPoint]:
    """The installed entry points of a group; a distribution with unreadable metadata is noted, and the rest found."""
    found: dict[str, list[EntryPoint]] = {}
    for distribution in distributions():
        try:
            points = list(distribution.entry_points.select(group=group))
            if points:
                found.setdefault(normal(distribution.name), points)
        except Exception as error:
            if group in (distribution.read_text("entry_points.txt") or ""):
                name = str(getattr(distribution, "_path", "a distribution"))
                discovery.note(Path(name).name, f"its metadata cannot be read: {describe(error)}")
    return [point for points in found.values() for point in points]


def is_allowed(name: str, distribution: str, allowed: set[str] | None) -> bool:
    """Whether an entry point may be imported: its name or its distribution's is among the allowed, or all are."""
    return allowed is None or bool(allowed & {normal(distribution), normal(name)})


def distribution_of(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point; the package's name stands in where there is none."""
    owner = point.dist
    if owner is None:
        return normal(point.value.partition(":")[0].partition(".")[0]), "unknown"
    metadata = owner.metadata  # read once, since reading it is most of the work
    return metadata["Name"], metadata["Version"] or "unknown"
