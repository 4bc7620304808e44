"""The contract kit: checks that hold a plugin to its interface, for `genzoo check` and for pytest.

A plugin's author opts in with one line in a test file; each check becomes a test::

    import genzoo.testing

    test_contract = genzoo.testing.contract("genzoo-mine")

Names resolve lazily, so that the pytest plugin costs nothing where it is not used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.testing.checking import Check, CheckFailure, all_checks
    from genzoo.testing.pytest_contract import contract
    from genzoo.testing.suite import Report, check_component, checks_for

__all__ = ["KIT_VERSION", "Check", "CheckFailure", "Report", "all_checks", "check_component", "checks_for", "contract"]

KIT_VERSION = "1.4"
"""Version of the set of checks, recorded with every result."""

_MODULES = {
    "Check": "checking",
    "CheckFailure": "checking",
    "Report": "suite",
    "all_checks": "checking",
    "check_component": "suite",
    "checks_for": "suite",
    "contract": "pytest_contract",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
