"""The `class-grid` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import LatentGenerator, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.types import Capability
from genzoo_visualizers.options import ClassGridOptions
from genzoo_visualizers.selection import class_count, how


class ClassGrid(Visualizer):
    """Samples of each class, one class a row.

    Args:
        options: How many samples of a class, and whether to show p(x|z)'s mean or a draw of it.

    References:
        Section 5.3.2 of the report.
    """

    on = LatentGenerator
    needs_labels = True
    requires = frozenset({Capability.CONDITIONAL})
    options: ClassGridOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        count, mean = self.options.count, self.options.pixels == "mean"
        with drawing(run.seed, "class-grid"):
            rows = [
                run.model.sample(
                    count, torch.full((count,), label, dtype=torch.int64, device=run.device), mean=mean
                ).cpu()
                for label in range(class_count(run.image))
            ]
            figure = image_grid(
                torch.cat(rows),
                count,
                title=f"{run.title}: samples of each class",
                subtitle=how(run.model, mean=mean, labelled=True),
                row_names=class_names(run.image),
                row_label="class",
            )
            return {"": figure}
