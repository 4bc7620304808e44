"""The contract as pytest tests, one a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from genzoo.errors import PluginError
from genzoo.host.plugin_host import Installed, host
from genzoo.testing import pytest_plugin
from genzoo.testing.checking import Check
from genzoo.testing.subject import Subject
from genzoo.testing.suite import (
    BLOCKED,
    DERIVED_FLOOR,
    FAILED,
    FLOORS,
    PASSED,
    SKIPPED,
    checks_for,
    declared_in,
    derived_from,
    run_check,
)
from genzoo.types import Kind

_reached: dict[str, int] = {}
_seen: dict[str, set[str]] = {}
_current: list[Subject] = []


def contract(
    *names: str, expected_failures: Mapping[str, str] | None = None, kind: Kind | str | None = None
) -> Callable[..., None]:
    """A test function that runs every check on the components named, one test a check.

    Args:
        names: Distributions (all of their components) or components, as ``NAME`` or ``KIND/NAME``.
        expected_failures: Check → reason, strict, besides those that the declarations name.
        kind: Only the components of one kind.

    Raises:
        PluginError: If a name is neither an installed distribution nor a component.

    Example:
        >>> test_contract = contract("genzoo-vae")  # doctest: +SKIP
    """
    components = [item for name in names for item in installed(name) if kind in {None, item.kind}]
    cases = [
        pytest.param(item, check, reason, id=f"{item.kind}/{item.name}-{check.id}")
        for item in components
        for check, reason in checks_for(item, expected_failures=expected_failures)
    ]
    cases += [pytest.param(item, None, None, id=f"{item.kind}/{item.name}-enough-checks") for item in components]

    @pytest.mark.contract
    @pytest.mark.parametrize(("component", "check", "expected"), cases)
    def test_contract(component: Installed, check: Check | None, expected: str | None) -> None:
        _test(component, check, expected)

    return test_contract


def installed(name: str) -> list[Installed]:
    """The components of a distribution, or the one component, of that name.

    Raises:
        PluginError: If there is none.
    """
    from genzoo.host.discovery import normal

    of_distribution = [item for item in host().components() if normal(item.distribution) == normal(name)]
    if of_distribution:
        return of_distribution
    try:
        return [host().one(name)]
    except PluginError as error:
        hint = "Install it: pip install -e . in its folder."
        raise PluginError(f"contract: {name!r} must be an installed distribution or component.", hint) from error


def _test(component: Installed, check: Check | None, expected: str | None) -> None:
    subject = _latest(component)
    name = subject.label
    if check is None:
        want = DERIVED_FLOOR if derived_from(component) else FLOORS[component.kind]
        got = _reached.get(name, 0)
        if got < want and not _whole(component):
            pytest.skip("not all checks were asked for")
        assert got >= want, f"{name}: {want} checks at least must apply and run, {got} did"
        return
    result = run_check(check, subject, expected)
    pytest_plugin.count(name, result.status)
    _seen.setdefault(name, set()).add(check.id)
    if result.status != SKIPPED:
        _reached[name] = _reached.get(name, 0) + 1
    if result.status in {SKIPPED, BLOCKED}:
        pytest.skip(result.message)
    if result.status == FAILED:
        pytest.fail(f"{name}, {result.message}", pytrace=False)
    if result.status != PASSED:
        pytest.xfail(result.message)


def _latest(component: Installed) -> Subject:
    if not _current or _current[0].plugin is not component:
        for subject in _current:
            subject.close()
        _current[:] = [Subject(component, declared_in(component))]
    return _current[0]


def _whole(component: Installed) -> bool:
    asked = {check.id for check, _ in checks_for(component)}
    return asked == _seen.get(f"{component.kind}/{component.component.name}", set())
