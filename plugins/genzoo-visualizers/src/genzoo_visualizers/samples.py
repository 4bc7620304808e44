"""The `samples` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import Generator, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo_visualizers.options import SamplesOptions
from genzoo_visualizers.selection import class_count, how, is_conditional, labels_in_turn

_CHUNK = 250


class Samples(Visualizer):
    """Images drawn from the model: z from the prior, then x from p(x|z). A conditional model draws the classes in turn.

    Args:
        options: How many, and whether to show p(x|z)'s mean or a draw of it.
    """

    on = Generator
    options: SamplesOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        count, columns = self.options.count, min(self.options.columns, self.options.count)
        mean = self.options.pixels == "mean"
        with drawing(run.seed, "samples"):
            labels = labels_in_turn(run, count) if is_conditional(run.model) else None
            parts = [
                run.model.sample(len(part), None if labels is None else labels[part[0] : part[-1] + 1], mean=mean).cpu()
                for part in torch.arange(count).split(_CHUNK)
            ]
            names: list[str] = []
            if labels is not None and labels.dim() == 1 and columns % class_count(run.image) == 0:
                names = [class_names(run.image)[label] for label in labels[:columns].tolist()]
            figure = image_grid(
                torch.cat(parts),
                columns,
                title=f"{run.title}: samples",
                subtitle=how(run.model, mean=mean, labelled=labels is not None),
                column_names=names,
            )
            return {"": figure}
