"""Runs the checks that apply to a component and reports what they found."""

from __future__ import annotations

import io
import time
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo.errors import GenzooError, UsageError, describe
from genzoo.testing import KIT_VERSION
from genzoo.testing.checking import Check, CheckFailure, NotApplicable, Unavailable, all_checks, refuse_unknown
from genzoo.testing.subject import Plugin, Subject
from genzoo.types import Kind

FLOORS: Mapping[Kind, int] = {
    Kind.MODEL: 25,
    Kind.LOSS: 20,
    Kind.PRIOR: 20,
    Kind.LIKELIHOOD: 18,
    Kind.SCHEDULER: 18,
    Kind.VISUALIZER: 20,
    Kind.DATASET: 18,
    Kind.METRIC: 16,
    Kind.NETWORK: 18,
}
"""How many checks at least must apply to a component and run."""

OTHER_FLOOR = 15
"""The same for one that is not what most of its kind are."""

DERIVED_FLOOR = 8
"""The same for a declaration that derives from another and brings no class of its own."""

PASSED, FAILED, EXPECTED, SKIPPED, BLOCKED = "passed", "failed", "expected-failure", "skipped", "blocked"


@dataclass(frozen=True)
class Result:
    """What one check found.

    Args:
        check: Id of the check.
        status: ``passed``, ``failed``, ``expected-failure``, ``skipped`` (does not apply) or ``blocked`` (cannot run here,
            or met the fault that an earlier check has told of).
        message: The failure's report, the reason of an expected failure, or why it was skipped.
        seconds: How long it took.
    """

    check: str
    status: str
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What the checks found of one component.

    Args:
        kind, name: The component.
        distribution, version: Where it comes from.
        results: One a check that is asked of its kind.
        partial: Whether only some checks were asked for, so that the floor says nothing.
        other: Whether it is not what most of its kind are: a generator that is no model, an objective that is no loss, a
            network that offers a field alone.
        derived: Name of the declaration whose class it has, so that its difference alone was checked; empty otherwise.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    results: tuple[Result, ...]
    partial: bool = False
    other: bool = False
    derived: str = ""

    def with_status(self, status: str) -> tuple[Result, ...]:
        """The results of that status."""
        return tuple(item for item in self.results if item.status == status)

    @property
    def applicable(self) -> int:
        """How many checks applied and ran."""
        return len(self.results) - len(self.with_status(SKIPPED)) - len(self.with_status(BLOCKED))

    @property
    def floor(self) -> int:
        """How many must."""
        if self.partial:
            return 0
        return DERIVED_FLOOR if self.derived else OTHER_FLOOR if self.other else FLOORS[self.kind]

    @property
    def ok(self) -> bool:
        """Whether no check failed and enough of them ran."""
        return not self.with_status(FAILED) and self.enough

    @property
    def enough(self) -> bool:
        """Whether as many checks as the floor says ran, or would have run with the data at hand."""
        return self.applicable + len(self.with_status(BLOCKED)) >= self.floor

    @property
    def summary(self) -> str:
        """One line: ``passed 41 of 43 (1 expected failure, 1 failed)``."""
        passed, expected, failed = (len(self.with_status(item)) for item in (PASSED, EXPECTED, FAILED))
        notes = [f"{expected} expected to fail"] if expected else []
        notes += [f"{failed} failed"] if failed else []
        blocked = len(self.with_status(BLOCKED))
        notes += [f"{blocked} could not run"] if blocked else []
        notes += [f"derived from {self.derived}"] if self.derived else []
        notes += [] if self.enough else [f"{self.floor} must run"]
        return f"passed {passed} of {self.applicable}" + (f" ({', '.join(notes)})" if notes else "")

    def to_json(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        return {
            "kit": KIT_VERSION,
            "kind": str(self.kind),
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "ok": self.ok,
            "applicable": self.applicable,
            "floor": self.floor,
            "derived": self.derived,
            "passed": len(self.with_status(PASSED)),
            "expected_failures": len(self.with_status(EXPECTED)),
            "skipped": len(self.with_status(SKIPPED)),
            "blocked": len(self.with_status(BLOCKED)),
            "failed": len(self.with_status(FAILED)),
            "seconds": round(sum(item.seconds for item in self.results), 3),
            "checks": [
                {"check": item.check, "status": item.status, "message": item.message, "seconds": round(item.seconds, 3)}
                for item in self.results
            ],
        }


def declared_in(plugin: Plugin) -> str | None:
    """The declaration module of an installed component, None where it is not known."""
    from importlib.metadata import entry_points

    name = getattr(plugin, "entry_point", None)
    for point in entry_points(group="genzoo.plugins"):
        if point.name == name and point.dist is not None and point.dist.name == plugin.distribution:
            return point.value.partition(":")[0]
    return None


def checks_for(
    plugin: Plugin, *, expected_failures: Mapping[str, str] | None = None, only: Collection[str] | None = None
) -> Iterator[tuple[Check, str | None]]:
    """The checks asked of a component, each with the reason why it is expected to fail, or None.

    Args:
        plugin: An installed component.
        expected_failures: Check → reason, besides those that the declaration names.
        only: Ids of the checks to run, all by default.

    Raises:
        UsageError: If a name is that of no check of this kind, or a reason is empty.
    """
    kind = plugin.component.kind
    expected = {**plugin.component.expected_failures, **(expected_failures or {})}
    refuse_unknown([*expected, *(only or ())], kind)
    for id, reason in expected.items():
        if not reason.strip():
            raise UsageError(f"checks: the reason why {id!r} is expected to fail must be given, got none.")
    derived = derived_from(plugin)
    for item in all_checks(kind):
        if (not derived or item.declares) if only is None else item.id in only:
            yield item, expected.get(item.id)


def derived_from(plugin: Plugin) -> str:
    """The declaration that a component has its class and options from, empty where it has its own.

    What the class does was checked there, so that only what is declared anew is asked of the component.
    """
    from genzoo.errors import PluginError
    from genzoo.host.plugin_host import host

    component = plugin.component
    if component.base is None:
        return ""
    try:
        base = host().one(f"{component.kind}/{component.base}").component
    except PluginError:
        return ""
    same = (component.target, component.options) == (base.target, base.options)
    return component.base if same else ""


def check_component(
    plugin: Plugin,
    *,
    expected_failures: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    module: str | None = None,
) -> Report:
    """Runs the checks and reports.

    Args:
        plugin: An installed component.
        expected_failures: Check → reason, besides those that the declaration names; strict: one that passes is a failure.
        only: Ids of the checks to run, all by default.
        module: Its declaration module, looked up by default.

    Raises:
        UsageError: If a name is that of no check of this kind.
    """
    subject = Subject(plugin, module or declared_in(plugin))
    other = False
    results: list[Result] = []
    closed: str | None = None
    try:
        for item, reason in checks_for(plugin, expected_failures=expected_failures, only=only):
            if closed:
                results.append(Result(item.id, SKIPPED, f"{closed} failed"))
                continue
            results.append(run_check(item, subject, reason))
            if item.gate and results[-1].status == FAILED:
                closed = item.id
        other = not closed and subject.is_other
    finally:
        subject.close()
    component = plugin.component
    return Report(
        component.kind,
        component.name,
        plugin.distribution,
        plugin.version,
        tuple(results),
        only is not None,
        other,
        derived_from(plugin) if only is None else "",
    )


def run_check(item: Check, subject: Subject, expected: str | None = None) -> Result:
    """Runs one check.

    Args:
        item: The check.
        subject: The component under test.
        expected: Why it is expected to fail, or None.
    """
    start = time.perf_counter()
    status, message = _outcome(item, subject)
    if expected is not None and status == FAILED:
        status, message = EXPECTED, expected
    elif expected is not None and status == PASSED:
        failure = CheckFailure(f"it to fail, because {expected}", "it passed; remove it from the expected failures")
        status, message = FAILED, item.message(failure)
    return Result(item.id, status, message, time.perf_counter() - start)


def _outcome(item: Check, subject: Subject) -> tuple[str, str]:
    import torch

    state, grad = torch.get_rng_state(), torch.is_grad_enabled()
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reason = subject.outside(item.family) or item.applies(subject)
            if reason is not None:
                return SKIPPED, reason
            item.run(subject)
    except Unavailable as reason:
        return BLOCKED, str(reason)
    except NotApplicable as reason:
        return SKIPPED, str(reason)
    except CheckFailure as failure:
        return _told(item, subject, failure, f"{failure.expected}|{failure.seen}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises, SystemExit too, is this check's failure
        seen, where = _described(error), _where(error)
        return _told(item, subject, CheckFailure("no error", seen), f"{type(error).__name__} {where or seen}")
    finally:
        torch.set_rng_state(state)
        torch.set_grad_enabled(grad)
    return PASSED, ""


def _told(item: Check, subject: Subject, failure: CheckFailure, fault: str) -> tuple[str, str]:
    """The status and message of a failure; one that an earlier check met is told once, and blocks the later ones."""
    first = subject.kept("faults", dict[str, str]).setdefault(fault, item.id)
    if first != item.id:
        return BLOCKED, f"it meets the fault that {first} tells of"
    return FAILED, item.message(failure)


def _described(error: BaseException) -> str:
    text = describe(error)
    where = "" if isinstance(error, GenzooError) else _where(error)
    return f"{text} at {where}" if where else text


def _where(error: BaseException) -> str:
    """File and line of the plugin's code that an error came from, empty where there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "genzoo/testing" not in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
