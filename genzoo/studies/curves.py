"""Several runs' training in one figure: distortion and rate by epoch, one curve a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from genzoo.errors import UsageError
from genzoo.parts.figures import LEAST_NATS, colour, house_style, new_figure, printable, widen
from genzoo.runs.reports import OF_LOSSES
from genzoo.types import Report

_SHOWN = 2
"""Panels of the figure: the first of what the runs report."""
_LINES = ("-", "--", "-.", ":")
_LEAST = 1e-3
"""A logarithmic axis begins here: a smaller rate is a rounding error, and as good as none."""


def compare_curves(
    names: Sequence[str],
    histories: Sequence[Sequence[Mapping[str, Any]]],
    title: str = "",
    reports: Sequence[Report] = OF_LOSSES,
) -> Figure:
    """What runs report by epoch: of losses distortion and rate, the rate on a logarithmic axis, so that a collapse is seen.

    A number that is the same in every row of every run, such as the distortion of a model whose latents are the pixels, is
    left out where another one varies. What lies below a thousandth of a nat is drawn there.

    Args:
        names: What each run is called in the legend.
        histories: Rows of each run's metrics.jsonl, one an epoch.
        title: Of the figure.
        reports: What they all report; the first two that vary are drawn.

    Raises:
        UsageError: If a run has no finished epoch.
    """
    for name, history in zip(names, histories, strict=True):
        if not history:
            raise UsageError(f"compare: {name} has no finished epoch to draw.")
    with house_style():
        figure = new_figure(3.4)
        varying = [report for report in reports if _varies(report.name, histories)]
        panels = (varying or [*reports])[:_SHOWN]
        for column, report in enumerate(panels, 1):
            key, label, scale = report.name, report.label or report.name, report.scale
            axes = figure.add_subplot(1, len(panels), column)
            floor = _LEAST if scale == "log" else -math.inf
            floored = False
            for index, (name, history) in enumerate(zip(names, histories, strict=True)):
                split = "test" if any("test" in row for row in history) else "train"
                rows = [row for row in history if split in row]
                epochs = [row["epoch"] for row in rows]
                values = [row[split][key] for row in rows]
                floored |= min(values) < floor
                values = [max(value, floor) for value in values]
                shown = printable(name, 60)
                axes.plot(epochs, values, _LINES[index % 4], color=colour(index), label=shown, marker=".", markersize=4)
            axes.set_title(f"{label}, test")
            axes.set_xlabel("epoch")
            axes.set_ylabel("nats per image" if report.unit == "nats" else report.unit)
            axes.set_yscale(scale)
            widen(axes, LEAST_NATS if report.unit == "nats" else 0)
            if scale == "log":
                least = "≤ " if floored else ""
                plain = FuncFormatter(lambda value, _, least=least: f"{least if value <= _LEAST else ''}{value:g}")
                low, high = axes.get_ylim()
                axes.yaxis.set_major_formatter(plain)
                axes.yaxis.set_minor_formatter(plain if high < 10 * low else NullFormatter())
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        # Not get_legend_handles_labels, which leaves out a name that starts with an underscore.
        handles = figure.axes[0].get_lines()
        labels = [str(line.get_label()) for line in handles]
        figure.legend(
            handles, labels, loc="outside lower center", ncols=1 if max(map(len, labels)) > 25 else len(labels)
        )
        if title:
            figure.suptitle(printable(title, 90), x=0.01, ha="left", size=11, weight="bold")
    return figure


def _varies(name: str, histories: Sequence[Sequence[Mapping[str, Any]]]) -> bool:
    """Whether a number differs between the rows of the runs."""
    rows = [row.get("test") or row.get("train") or {} for history in histories for row in history]
    return len({row.get(name) for row in rows}) > 1
