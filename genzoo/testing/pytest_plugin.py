"""The pytest plugin, loaded in every pytest run where genzoo is installed: it imports nothing heavy before a contract is
asked for.

It adds the marker ``contract`` and a line a component at the end of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_counts: dict[str, dict[str, int]] = {}


def count(component: str, status: str) -> None:
    """Note the outcome of one check, for the summary."""
    found = _counts.setdefault(component, {})
    found[status] = found.get(status, 0) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; a warning that pytest makes an error stays one within genzoo."""
    from genzoo import process

    process.STRICT_WARNINGS = True
    config.addinivalue_line("markers", "contract: a check of genzoo's contract kit on an installed component")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line a component: how many checks passed, were expected to fail, were skipped, failed."""
    if not _counts:
        return
    terminalreporter.section("genzoo contract")
    for component, found in sorted(_counts.items()):
        terminalreporter.write_line(f"{component}: " + ", ".join(f"{n} {status}" for status, n in found.items()))
