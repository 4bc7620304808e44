"""What the checks tell authors is true: the commands that they name exist, with the options named."""

from __future__ import annotations

import re

import pytest

from genzoo.cli import cli
from genzoo.testing import all_checks
from genzoo.testing.checking import Check

NAMED = re.compile(r"`genzoo ([a-z][a-z-]*)([^`]*)`")


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: f"{sorted(check.kinds)[0]}-{check.id}")
def test_commands_and_options_that_it_names_exist(check: Check) -> None:
    for name, rest in NAMED.findall(f"{check.title} {check.why} {check.mend}"):
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None, f"genzoo {name}"
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"--[a-z.-]+", rest):
            assert option in known or option == "--help" or name == "run", f"genzoo {name} {option}"


def test_no_reason_is_given_twice_for_different_checks_of_one_kind() -> None:
    seen: dict[tuple[str, str], str] = {}
    for check in all_checks():
        for kind in check.kinds:
            first = seen.setdefault((kind, check.why), check.id)
            assert first == check.id, f"{first} and {check.id} of a {kind} give one reason"


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: f"{sorted(check.kinds)[0]}-{check.id}")
def test_a_check_that_draws_says_how_often_it_is_wrong(check: Check) -> None:
    text = check.run.__doc__ or ""
    if "standard errors" in text and "draws" in text:
        assert re.search(r"1e-\d", text), "the docstring states the probability of a false alarm"
