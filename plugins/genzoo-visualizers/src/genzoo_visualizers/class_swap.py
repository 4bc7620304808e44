"""The `class-swap` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import LatentGenerator, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images, draw_prior
from genzoo.types import Capability
from genzoo_visualizers.options import ClassSwapOptions
from genzoo_visualizers.selection import class_count, farthest_apart


class ClassSwap(Visualizer):
    """The same latents decoded as every class: one latent a row, one class a column.

    Where the prior depends on the class, the latents are drawn from the priors of the classes in turn.

    Args:
        options: How many latents, and whether to choose dissimilar ones.

    References:
        Figure 5, bottom row, of the report.
    """

    on = LatentGenerator
    needs_labels = True
    requires = frozenset({Capability.CONDITIONAL})
    options: ClassSwapOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        styles, classes = self.options.styles, class_count(run.image)
        with drawing(run.seed, "class-swap"):
            draws = 4 * styles if self.options.spread else styles
            latents = draw_prior(run.model, draws, torch.arange(draws, device=run.device) % classes)
            latents = latents[farthest_apart(latents, styles)]
            labels = torch.arange(classes, device=run.device).repeat(styles)
            figure = image_grid(
                decode_images(run.model, [latents.repeat_interleave(classes, 0)], labels),
                classes,
                title=f"{run.title}: one latent, every class",
                subtitle="each row decodes one z as every class; "
                + (
                    f"the {styles} farthest apart of {draws} draws of the prior"
                    if draws > styles
                    else "drawn from the prior"
                ),
                column_names=class_names(run.image),
                column_label="decoded as class",
                row_names=[f"{index + 1}" for index in range(styles)],
                row_label="latent",
            )
            return {"": figure}
