"""Draws the diagrams of the documentation. Run it after a change: ``python docs/diagrams.py``."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

FIGURES = Path(__file__).parent / "figures"
PLUGIN, CORE, VALUE, LINE = "#dbe9f6", "#eceff1", "#37474f", "#607d8b"


def box(axes: Axes, x: float, y: float, width: float, title: str, text: str = "", *, core: bool = False) -> None:
    """A rounded box with its centre at ``(x, y)``."""
    height = 0.9 if text else 0.6
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=CORE if core else PLUGIN,
            edgecolor=LINE,
            linewidth=1,
        )
    )
    axes.text(
        x, y + (0.17 if text else 0), title, ha="center", va="center", fontsize=11, fontweight="bold", color="#102027"
    )
    if text:
        axes.text(x, y - 0.2, text, ha="center", va="center", fontsize=9, color=VALUE)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", side: float = 0.12) -> None:
    """An arrow with the value that flows along it."""
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": LINE, "linewidth": 1.3})
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        axes.text(x + side, y, text, ha="left", va="center", fontsize=9, color=VALUE, family="monospace")


def data_flow() -> Figure:
    """What flows from the dataset to the run folder."""
    figure = Figure(figsize=(8.6, 7.6), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 12.2)
    axes.set_ylim(0.2, 10.9)
    axes.axis("off")
    middle = 5.6
    box(axes, middle, 10.2, 4.4, "dataset", "images in [0, 1], labels, factors")
    arrow(axes, (middle, 9.75), (middle, 8.65), "Batch(image, label, factors)")
    box(axes, middle, 8.2, 4.4, "model", "encode, decode, sample")
    box(axes, 1.5, 8.95, 2.2, "network")
    box(axes, 1.5, 8.2, 2.2, "likelihood")
    box(axes, 1.5, 7.45, 2.2, "prior")
    for y in (8.95, 8.2, 7.45):
        arrow(axes, (2.6, y), (3.4, 8.2 + 0.35 * (y - 8.2)))
    arrow(axes, (middle, 7.75), (middle, 6.65), "ModelOutput(latents, likelihood, auxiliary)")
    box(axes, middle, 6.2, 4.4, "loss, or another objective", "one player or several, each with its terms")
    box(axes, 1.5, 6.2, 2.2, "scheduler", "drives β, lr, …")
    arrow(axes, (2.6, 6.2), (3.4, 6.2))
    arrow(axes, (middle, 5.75), (middle, 4.65), "Terms(objective, terms, report, output)")
    box(axes, middle, 4.2, 4.4, "engine", "each player's optimizer step, evaluation", core=True)
    box(axes, 10.5, 4.2, 2.9, "second stage", "a prior fitted after", core=True)
    arrow(axes, (7.8, 4.35), (9.05, 4.35))
    arrow(axes, (9.05, 4.05), (7.8, 4.05))
    arrow(axes, (middle, 3.75), (middle, 2.65), "rows, checkpoints")
    box(axes, middle, 2.2, 4.4, "run folder", "run.json, config.toml, metrics.jsonl", core=True)
    box(axes, 10.5, 2.2, 2.9, "visualizers, metrics", "see the run, not the engine")
    arrow(axes, (7.8, 2.35), (9.05, 2.35))
    arrow(axes, (9.05, 2.05), (7.8, 2.05))
    axes.text(8.42, 1.52, "figures, numbers", ha="center", fontsize=9, color=VALUE, family="monospace")
    box(axes, 3.9, 0.72, 1.6, "plugin")
    box(axes, 6.1, 0.72, 1.6, "core", core=True)
    return figure


def main() -> None:
    """Draw all."""
    data_flow().savefig(FIGURES / "data-flow.png", dpi=160)


if __name__ == "__main__":
    main()
