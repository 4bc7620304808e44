"""The `training-curves` visualizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from genzoo.errors import UsageError
from genzoo.interfaces import Generator, RunView, Visualizer
from genzoo.parts.figures import LEAST_NATS, MUTED, PALETTE, drawing, new_figure, printable, widen
from genzoo_visualizers.options import TrainingCurvesOptions

_PANELS = (
    ("distortion", "Distortion D", "nats per image"),
    ("rate", "Rate R", "nats per image"),
)
_THIRD = {"elbo": ("elbo", "ELBO = −(D + R)", "nats per image"), "ratio": ("ratio", "Ratio D / R", "")}
_SPLITS = (("test", PALETTE[0], "-"), ("train", PALETTE[1], "--"))
_WARM_UP = "#f2ecd9"


class TrainingCurves(Visualizer):
    """Distortion, rate and elbo by epoch, for train and test. For another objective, what it reports and what varies.

    Epochs in which β is below its greatest value are shaded, and β is drawn over the rate. The ratio of distortion and rate
    is drawn on request: the report quotes a healthy range of it for its own set-up, and it says little elsewhere.

    Args:
        options: The scale of the vertical axes, and the third panel.

    References:
        Figure 1 and section 4.4 of the report.
    """

    on = Generator
    needs_history = True
    options: TrainingCurvesOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        if not run.history:
            raise UsageError(
                "training-curves: the run must have a finished epoch, got none.", "Train for an epoch first."
            )
        with drawing(run.seed, "training-curves"):
            return {"": self._figure(run.title, run.history, _panels(run, self.options.third))}

    def _figure(
        self, title: str, history: Sequence[Mapping[str, Any]], kinds: Sequence[tuple[str, str, str]]
    ) -> Figure:
        epochs = [int(row["epoch"]) for row in history]
        beta = [_number((row.get("quantities") or {}).get("beta")) for row in history]
        scheduled = len({value for value in beta if math.isfinite(value)}) > 1
        figure = new_figure(3.1)
        panels: list[Axes] = [figure.add_subplot(1, len(kinds), column + 1) for column in range(len(kinds))]
        for axes, (key, name, unit) in zip(panels, kinds, strict=True):
            if scheduled:
                for begin, end in _below_greatest(epochs, beta):
                    axes.axvspan(begin, end, color=_WARM_UP, zorder=0, linewidth=0)
            for split, colour, line in _SPLITS:
                # Test images may be evaluated more seldom than every epoch; the line goes on across those left out.
                values = {int(row["epoch"]): _number(row[split].get(key)) for row in history if row.get(split)}
                if any(map(math.isfinite, values.values())):
                    axes.plot(
                        list(values),
                        list(values.values()),
                        line,
                        color=colour,
                        label=split,
                        marker="o" if len(epochs) < 3 else None,
                        zorder=3,
                    )
            axes.set_title(f"{name}\n{_latest(history, key)}", size=9.5)
            axes.set_xlabel("epoch")
            axes.set_ylabel(unit)
            axes.set_yscale(self.options.scale)
            widen(axes, LEAST_NATS if unit == "nats per image" else 0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            if len(epochs) > 1:
                axes.set_xlim(epochs[0] - 0.02 * (epochs[-1] - epochs[0]), epochs[-1] + 0.02 * (epochs[-1] - epochs[0]))
            else:
                axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        if scheduled:
            twin = panels[min(1, len(panels) - 1)].twinx()
            twin.plot(epochs, beta, color=MUTED, linestyle=":", label="β", zorder=2)
            twin.set_ylim(0, 1.08 * max(value for value in beta if math.isfinite(value)))
            twin.set_title("β", loc="right", color=MUTED, size=9)
            twin.spines["right"].set_visible(True)
            twin.grid(visible=False)
            handles += twin.get_lines()
            labels += ["β"]
            shades = [patch for patch in panels[0].patches if patch.get_visible()]
            handles += shades[:1]
            labels += [_what_is_shaded(epochs, beta)] if shades else []
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
        figure.suptitle(printable(f"{title}: training", 90), x=0.01, ha="left", size=11, weight="bold")
        return figure


def _panels(run: RunView, third: str) -> Sequence[tuple[str, str, str]]:
    """Key, title and unit of each panel: what the run reports and what varies, three at most."""
    reports = [report for report in run.reports if report.shown]
    declared = [
        (report.name, report.label or report.name, "nats per image" if report.unit == "nats" else report.unit)
        for report in reports
    ]
    varying = [panel for panel in declared if _varies(run.history, panel[0])]
    if not reports or {"distortion", "rate"} <= {key for key, _, _ in varying}:
        own = [panel for panel in varying if panel[0] not in {"distortion", "rate", "elbo"}]
        return [*_PANELS, *(own[:1] if own and third == "elbo" else [_THIRD[third]])]
    return (varying or declared)[:3]


def _varies(history: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a number differs between epochs, or between train and test."""
    values = {_number((row.get(split) or {}).get(key)) for row in history for split, _, _ in _SPLITS}
    return len({value for value in values if math.isfinite(value)}) > 1


def _number(value: Any) -> float:
    """A float for matplotlib; NaN, which it leaves out, for what is missing or infinite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def _latest(history: Sequence[Mapping[str, Any]], key: str) -> str:
    row = history[-1]
    values = {split: _number((row.get(split) or {}).get(key)) for split, _, _ in _SPLITS}
    shown = " · ".join(f"{split} {value:.2f}" for split, value in values.items() if math.isfinite(value))
    return shown.replace("-", "−")


def _below_greatest(epochs: Sequence[int], beta: Sequence[float]) -> list[tuple[float, float]]:
    """Spans of epochs in which β is below its greatest value, each up to the first epoch that reaches it."""
    greatest = max(value for value in beta if math.isfinite(value))
    spans: list[tuple[float, float]] = []
    begin: float | None = None
    for epoch, value in zip(epochs, beta, strict=True):
        below = value < greatest * (1 - 1e-6)
        if below and begin is None:
            begin = float(epoch)
        if not below and begin is not None:
            spans.append((begin, float(epoch)))
            begin = None
    if begin is not None and begin < epochs[-1]:
        spans.append((begin, float(epochs[-1])))
    return spans


def _what_is_shaded(epochs: Sequence[int], beta: Sequence[float]) -> str:
    spans = _below_greatest(epochs, beta)
    rising = all(later >= earlier for earlier, later in pairwise(beta))
    return "warm-up" if rising and len(spans) == 1 and spans[0][0] == epochs[0] else "β below its greatest value"
