"""The `style-transfer` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images, encode
from genzoo.types import Capability
from genzoo_visualizers.options import StyleTransferOptions
from genzoo_visualizers.selection import class_count, examples


class StyleTransfer(Visualizer):
    """The latent of a test image decoded as every class: the image's style, any class's shape.

    Every level of latents is kept; the frame marks the image's own class, which is its reconstruction.

    Args:
        options: How many images.

    References:
        Section 5.3.4 of the report.
    """

    requires = frozenset({Capability.CONDITIONAL})
    needs_labels = True
    options: StyleTransferOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        classes = class_count(run.image)
        with drawing(run.seed, "style-transfer"):
            batch = examples(run, self.options.count)
            codes = encode(run.model, batch)
            levels = [level.repeat_interleave(classes, 0) for level in codes.levels]
            made = decode_images(run.model, levels, torch.arange(classes, device=run.device).repeat(len(batch)))
            rows = torch.cat([batch.image.cpu()[:, None], made.unflatten(0, (len(batch), classes))], dim=1)
            own = [] if batch.label is None else batch.label.tolist()
            figure = image_grid(
                rows.flatten(0, 1),
                classes + 1,
                title=f"{run.title}: style transfer",
                subtitle="the code of the test image on the left, decoded as every class; framed: its own class",
                column_names=["image", *class_names(run.image)],
                column_label="decoded as class",
                column_breaks=(1,),
                outlined=[(row, 1 + label) for row, label in enumerate(own)],
            )
            return {"": figure}
