"""The `class-traversal` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import RunView, Visualizer
from genzoo.parts.figures import class_names, drawing, latent_name
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import along, axis, decode_images, encode, prior_scale
from genzoo.types import Capability
from genzoo_visualizers.axes import UNIT, ranked, ticks
from genzoo_visualizers.options import ClassTraversalOptions
from genzoo_visualizers.selection import class_count

_ENCODED = 1000


class ClassTraversal(Visualizer):
    """Latent axes decoded as every class: one class a row, one dimension a block of columns.

    The other dimensions are at the mean of the class's prior; axes are in its standard deviations.

    Args:
        options: Reach, number of steps and number of dimensions.

    References:
        Section 5.3.4 of the report.
    """

    requires = frozenset({Capability.CONDITIONAL, Capability.REAL_LATENT})
    needs_labels = True
    options: ClassTraversalOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        steps, classes = self.options.steps, class_count(run.image)
        with drawing(run.seed, "class-traversal"):
            offsets = axis(self.options.span, steps)
            codes = encode(run.model, run.shuffled(_ENCODED))
            scales = [prior_scale(run.model, label) for label in range(classes)]
            dimensions = sorted(index for index, _ in ranked(codes, scales[0])[: self.options.dimensions])
            latents = torch.cat(
                [along(scale.mean, scale, dimension, offsets) for scale in scales for dimension in dimensions]
            )
            width = steps * len(dimensions)
            labels = torch.arange(classes, device=run.device).repeat_interleave(width)
            names = [latent_name(dimension) for dimension in dimensions]
            figure = image_grid(
                decode_images(run.model, [latents], labels),
                width,
                title=f"{run.title}: latent axes of each class",
                subtitle=f"one dimension varies, the others are at the prior's mean; axes {UNIT}",
                row_names=class_names(run.image),
                row_label="class",
                column_names=ticks(offsets.tolist()) * len(dimensions),
                column_groups=names,
                column_breaks=range(steps, width, steps),
            )
            return {"": figure}
