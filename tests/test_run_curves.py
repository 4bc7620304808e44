"""Several runs' curves in one figure."""

from __future__ import annotations

from typing import Any

import pytest

from genzoo.errors import UsageError
from genzoo.studies.curves import compare_curves


def history(*rates: float) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "test": {"distortion": 200.0 - epoch, "rate": rate}} for epoch, rate in enumerate(rates, 1)
    ]


def test_a_rate_of_nothing_is_drawn_at_the_foot_of_the_axis_and_said_to_be_less() -> None:
    figure = compare_curves(["healthy", "collapsed"], [history(4.0, 5.0), history(1e-8, -1e-9)])
    _, rate = figure.axes
    assert list(rate.lines[1].get_ydata()) == [1e-3, 1e-3]
    figure.canvas.draw()
    assert rate.yaxis.get_major_formatter()(1e-3, 0) == "≤ 0.001"
    assert rate.yaxis.get_major_formatter()(1.0, 0) == "1"


def test_without_a_collapse_no_label_says_less() -> None:
    _, rate = compare_curves(["one"], [history(4.0, 5.0)]).axes
    assert rate.yaxis.get_major_formatter()(1e-3, 0) == "0.001"


def test_a_run_without_an_epoch_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="young has no finished epoch"):
        compare_curves(["old", "young"], [history(4.0), []])


def test_a_number_that_never_changes_is_left_out() -> None:
    rows = [
        {"epoch": epoch, "test": {"distortion": 0.0, "rate": 90.0 - epoch, "elbo": epoch - 90.0}} for epoch in (1, 2)
    ]
    figure = compare_curves(["one", "two"], [rows, rows])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Rate R, test", "ELBO, test"]


def test_what_hardly_differs_is_drawn_as_hardly_different() -> None:
    rows = [{"epoch": epoch, "test": {"distortion": 100 + 1e-9 * epoch, "rate": 5.0 + epoch}} for epoch in (1, 2)]
    low, high = compare_curves(["one"], [rows]).axes[0].get_ylim()
    assert high - low >= 0.2 - 1e-9
