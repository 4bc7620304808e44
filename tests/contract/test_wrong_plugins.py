"""The contract kit can fail: each check catches the plugin that is wrong in that, and correct ones pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wrong_plugins.all_of_them import RIGHT, WRONG
from wrong_plugins.ledger import Wrong

import genzoo.testing
from genzoo.host.installed import Installed
from genzoo.testing import all_checks, check_component

DEFECTS = {
    "a codebook loss summed over the batch, then added to a per-image term: its weight grows with batch size",
    "validation uses another KL weight than training",
    'KL logged with the wrong sign; "elbo" that is −ELBO',
    "the constant of a Gaussian likelihood dropped in training, kept in NLL",
    "a beta (or any option) that changes nothing",
    "NLL that ignores its sample count and drops the remainder of a batch",
    'a saved "best" model paired with another step\'s optimizer; no load path',
    "networks pickled; load blocked on another Python",
    "eval that retries with gradients on, hiding errors",
    "image size hard-coded",
    "MIG by reshape instead of transpose",
    "Bernoulli cross-entropy on sigmoids instead of logits",
    "global RNG reseeded, default dtype or backend changed at import",
}
"""Defects found in released libraries of this field."""


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_the_check_meant_for_it_catches_it(wrong: Wrong):
    report = check_component(wrong.plugin, only=[wrong.check], module=wrong.module)
    (result,) = report.results
    assert result.status == "failed", result
    for word in ("expected:", "seen:", "why:", "mend:", wrong.says):
        assert word in result.message
    assert not report.ok


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [item for item in WRONG if item.alone], ids=lambda wrong: wrong.id)
def test_no_other_check_raises_an_alarm(wrong: Wrong):
    report = check_component(wrong.plugin, module=wrong.module)
    # A crash makes every check that needs the same call fail with its error; that names the defect, and is no other alarm.
    failed = {
        result.check
        for result in report.with_status("failed")
        if result.check == wrong.check or "expected: no error" not in result.message
    }
    blocked = {result.check for result in report.with_status("blocked")}
    assert wrong.check in failed | blocked
    unforeseen = failed - {wrong.check} - wrong.also
    assert not unforeseen, [result.message for result in report.with_status("failed") if result.check in unforeseen]


@pytest.mark.slow
@pytest.mark.parametrize("plugin", RIGHT, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_correct_but_unusual_plugins_raise_no_alarm(plugin: Installed):
    report = check_component(plugin, module="wrong_plugins.declared")
    assert report.ok, [result.message for result in report.with_status("failed")] or report.summary


def test_every_check_is_failed_by_a_wrong_plugin():
    failed = {(wrong.plugin.kind, wrong.check) for wrong in WRONG}
    untested = [check.id for check in all_checks() if not any((kind, check.id) in failed for kind in check.kinds)]
    assert not untested


def test_the_documentation_counts_them_right():
    page = (Path(__file__).parents[2] / "docs/results.md").read_text(encoding="utf-8")
    said = re.search(r"(\d+) checks; (\d+) deliberately wrong plugins.*? (\d+) correct but unusual", page, re.S)
    assert said is not None
    assert [int(number) for number in said.groups()] == [len(all_checks()), len(WRONG), len(RIGHT)]


def test_every_known_defect_has_a_wrong_plugin():
    assert {wrong.defect for wrong in WRONG} - {""} == DEFECTS


def test_every_public_name_of_the_kit_resolves():
    assert all(getattr(genzoo.testing, name) is not None for name in genzoo.testing.__all__)
