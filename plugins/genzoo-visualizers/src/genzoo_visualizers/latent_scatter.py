"""The `latent-scatter` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Model, RunView, Visualizer
from genzoo.parts.figures import (
    INK,
    MUTED,
    PALETTE,
    class_names,
    colour,
    drawing,
    latent_name,
    marker,
    new_figure,
    printable,
)
from genzoo.parts.latents import encode
from genzoo.randomness import derive
from genzoo.types import Capability, ImageSpec
from genzoo_visualizers.options import LatentScatterOptions
from genzoo_visualizers.projection import Plane, check_points, check_umap, principal_components, tsne, umap

_NAMED = 12
"""Classes whose names are written at their points, at most."""


class LatentScatter(Visualizer):
    """Posterior means of images in the plane, coloured by class.

    A latent of one dimension is drawn as a histogram for each class, one of two as it is; of more, projected. Where there
    are few classes, the name of each stands at the middle of its points.

    Args:
        options: How many points, of which split and level, and the projection.

    References:
        Figure 2 of the report.
    """

    requires = frozenset({Capability.REAL_LATENT})
    options: LatentScatterOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`."""
        if self.options.level >= len(model.levels):
            raise UsageError(
                f"latent-scatter: level must be below the model's number of levels, {len(model.levels)}, "
                f"got {self.options.level}.",
                "Choose another with --viz.latent-scatter.level.",
            )
        if self.options.projection in ("tsne", "umap"):
            check_points(self.options.points, self.options.perplexity)
        if self.options.projection == "umap":
            check_umap()

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        options = self.options
        with drawing(run.seed, "latent-scatter"):
            batch = run.shuffled(options.points, options.split)
            codes = encode(run.model, batch).levels[options.level].flatten(1).double().cpu()
            labels = None if batch.label is None else batch.label.cpu()
            names = class_names(run.image) if labels is not None else []
            figure = new_figure(6.4 if codes.shape[1] > 1 else 3.6)
            axes = figure.add_subplot()
            if codes.shape[1] == 1:
                _histogram(axes, codes[:, 0], labels, names)
                how = "histogram of the code"
            else:
                plane = self._project(codes, run.seed)
                _scatter(axes, plane, labels, names)
                how = plane.method
            _legend(figure, labels, names)
            level = f", level {options.level + 1} of {len(run.model.levels)}" if len(run.model.levels) > 1 else ""
            axes.set_title(
                f"posterior means of {len(codes)} {options.split} images{level}" + (f"; {how}" if how else ""),
                size=8.5,
                color=MUTED,
            )
            figure.suptitle(printable(f"{run.title}: latent space", 90), x=0.01, ha="left", size=11, weight="bold")
            return {"": figure}

    def _project(self, codes: Tensor, seed: int) -> Plane:
        method = self.options.projection
        if method == "tsne":
            return tsne(codes, self.options.perplexity, derive(seed, "t-sne"))
        if method == "umap":
            return umap(codes, self.options.perplexity, derive(seed, "umap"))
        if method == "auto" and codes.shape[1] == 2:
            return Plane(codes, (latent_name(0), latent_name(1)), "")
        return principal_components(codes)


def _scatter(axes: Axes, plane: Plane, labels: Tensor | None, names: list[str]) -> None:
    points = plane.points.numpy()
    area = min(40.0, max(5.0, 35_000 / len(points)))
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=area, color=PALETTE[0], alpha=0.6, linewidths=0, rasterized=True)
    else:
        # All classes in one call and in random order for each kind of marker: no class is drawn over the others.
        for kind in dict.fromkeys(marker(index) for index in range(len(names))):
            mine = torch.tensor([marker(label) == kind for label in labels.tolist()])
            if mine.any():
                shades = [colour(label) for label in labels[mine].tolist()]
                chosen = points[mine.numpy()]
                axes.scatter(
                    chosen[:, 0], chosen[:, 1], s=area, c=shades, marker=kind, alpha=0.75, linewidths=0, rasterized=True
                )
        if len(names) <= _NAMED:
            _name_clusters(axes, plane.points, labels, names)
    axes.set_xlabel(plane.names[0])
    axes.set_ylabel(plane.names[1])
    axes.set_aspect("equal", adjustable="datalim")
    if not any(plane.names):
        axes.set(xticks=[], yticks=[])  # the coordinates of t-SNE and UMAP mean nothing


def _name_clusters(axes: Axes, points: Tensor, labels: Tensor, names: list[str]) -> None:
    """Write each class's name at the median of its points, outlined so that it is read over them."""
    for index in labels.unique().tolist():
        if index < len(names):
            x, y = points[labels == index].median(0).values.tolist()
            text = axes.annotate(
                names[index], (x, y), ha="center", va="center", size=11, weight="bold", color=INK, zorder=5
            )
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _histogram(axes: Axes, values: Tensor, labels: Tensor | None, names: list[str]) -> None:
    low, high = float(values.min()), float(values.max())
    edges = torch.linspace(low - 1e-6, high + 1e-6, 61).numpy()
    groups = [(PALETTE[0], values)] if labels is None else [(colour(i), values[labels == i]) for i in range(len(names))]
    for index, (shade, group) in enumerate(groups):
        style = ("-", "--", ":", "-.")[index // len(PALETTE) % 4]
        axes.hist(group.numpy(), bins=list(edges), histtype="step", color=shade, linewidth=1.6, linestyle=style)
    axes.set_xlabel(latent_name(0))
    axes.set_ylabel("images")


def _legend(figure: Figure, labels: Tensor | None, names: list[str]) -> None:
    if labels is None:
        return
    shown = [index for index in labels.unique().tolist() if index < len(names)][:60]
    keys = [
        Line2D([], [], linestyle="", marker=marker(index), markersize=7, color=colour(index), label=names[index])
        for index in shown
    ]
    figure.legend(handles=keys, title="class", loc="outside right upper", ncols=-(-len(keys) // 20), handletextpad=0.3)
