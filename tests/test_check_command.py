"""`genzoo check` and the report behind it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from genzoo.cli.check import check
from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.testing import all_checks, check_component, contract
from genzoo.testing.suite import FLOORS
from genzoo.types import Kind


def run(*arguments: str):
    return CliRunner().invoke(check, arguments, catch_exceptions=True)


def test_a_line_a_component_and_exit_zero():
    result = run("scheduler/constant", "linear-warmup")
    assert result.exit_code == 0, result.output
    lines = result.output.strip().splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["scheduler/constant", "scheduler/linear-warmup"]
    assert lines[-1] == "2 of 2 components hold their contract."


def test_json_counts_what_ran():
    result = run("linear-warmup", "--json")
    found, whole = map(json.loads, result.output.splitlines())
    assert whole["ok"]
    assert whole["components"] == 1
    assert found["ok"]
    assert found["applicable"] == found["passed"] >= found["floor"] == FLOORS[Kind.SCHEDULER]
    assert found["applicable"] + found["skipped"] == len(found["checks"])


@pytest.mark.parametrize(
    "arguments",
    [[], ["vae", "--all"], ["linear-warmup", "--only", "monotone-as-declard"]],
    ids=["none", "both", "typo"],
)
def test_a_wrong_request_is_refused(arguments):
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert "monotone-as-declared" in str(result.exception) or "monotone" not in " ".join(arguments)


def test_a_declaration_that_derives_is_checked_for_its_difference_alone():
    report = check_component(host().one("model/beta-vae"))
    assert report.ok, report.summary
    assert report.derived == "vae"
    assert {"documented", "companions-installed"} <= {result.check for result in report.results}
    assert "learns" not in {result.check for result in report.results}


def test_one_check_alone_ignores_the_floor():
    report = check_component(host().one("linear-warmup"), only=["monotone-as-declared"])
    assert report.ok
    assert report.applicable == 1


def test_an_expected_failure_that_passes_fails():
    report = check_component(
        host().one("linear-warmup"), only=["pure"], expected_failures={"pure": "it counts its calls"}
    )
    (result,) = report.with_status("failed")
    assert "remove it from the expected failures" in result.message


def test_expected_failures_need_a_reason_and_a_known_check():
    for expected in ({"pure": " "}, {"purely": "why not"}):
        with pytest.raises(UsageError):
            check_component(host().one("linear-warmup"), expected_failures=expected)


def test_too_few_checks_fail(monkeypatch):
    monkeypatch.setitem(FLOORS, Kind.SCHEDULER, 1000)  # type: ignore[index]
    report = check_component(host().one("constant"))
    assert not report.with_status("failed")
    assert not report.ok
    assert "1000 must run" in report.summary


@pytest.mark.parametrize("kind", Kind)
def test_every_check_explains_itself(kind):
    checks = all_checks(kind)
    assert len(checks) >= FLOORS[kind]
    assert len({item.id for item in checks}) == len(checks)
    for item in checks:
        assert item.title.endswith(".")
        assert len(item.why) > 20
        assert len(item.mend) > 10


def test_the_listing_names_every_check():
    result = run("--list", "--json")
    assert len(json.loads(result.output)) == len(all_checks())


def test_contract_refuses_what_is_not_installed():
    with pytest.raises(Exception, match="genzoo-nothing"):
        contract("genzoo-nothing")
