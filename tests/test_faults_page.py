"""The page on faults names tests that exist, and as many failures as they inject."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [
    line
    for line in PAGE.partition("## Counts")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| fault", "| ---"))
]
NAMED = re.compile(r"`((?:plugins/[\w-]+/)?tests/[\w/]+\.py)::(\w+)`")


def functions(file: str) -> set[str]:
    """Names of every function of a file, in a class or not."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_row_names_tests_that_exist(row: str) -> None:
    fault, happens, code, tests = row.removeprefix("| ").removesuffix(" |").split(" | ", 3)
    assert fault
    assert happens
    assert re.fullmatch(r"(\d+(, \d+)*)?", code.strip()), "a cell of exit codes holds exit codes"
    named = NAMED.findall(tests)
    assert len(named) == tests.count("::") > 0
    for file, name in named:
        assert name in functions(file), f"{file} has no {name}"


def test_the_numbers_of_failures_are_those_of_the_tests() -> None:
    text = (ROOT / "tests/engine/test_storage_faults.py").read_text(encoding="utf-8")
    found = re.search(r"^OPERATIONS = (\d+)$", text, re.MULTILINE)
    assert found is not None
    operations = int(found[1])
    assert f"makes {operations} file operations" in PAGE
    assert f"{2 * operations} failures and {operations} kills" in PAGE


def test_the_counts_are_those_of_the_cases_that_the_suite_collects() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.partition("## Counts")[2].splitlines() if "::" in line]
    files = sorted({file for row in rows for file, _ in NAMED.findall(row[3])})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", *files]
    collected = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout.splitlines()
    cases = Counter(line.partition("[")[0] for line in collected)
    for what, number, each, tests in rows:
        total = 0
        for file, name in NAMED.findall(tests):
            constant = re.search(rf"^{each} = (\d+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
            total += cases[f"{file}::{name}"] * (int(constant[1]) if constant else int(each))
        assert int(number) == total, f"{what}: the page says {number}, the suite makes {total}"
    assert sum(int(row[1]) for row in rows) >= 1000
