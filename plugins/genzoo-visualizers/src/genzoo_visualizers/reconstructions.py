"""The `reconstructions` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images, encode
from genzoo_visualizers.options import ReconstructionsOptions
from genzoo_visualizers.selection import examples, labels_for


class Reconstructions(Visualizer):
    """Images above what the model decodes from their codes; every class in turn where there are labels.

    A conditional model decodes under the image's own label.

    Args:
        options: How many images, of which split, and which codes.
    """

    options: ReconstructionsOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        options = self.options
        with drawing(run.seed, "reconstructions"):
            batch = examples(run, options.count, options.split)
            codes = encode(run.model, batch)
            levels = codes.levels if options.codes == "mean" else codes.samples
            made = decode_images(run.model, levels, labels_for(run.model, batch.label))
            columns = min(options.columns, len(batch))
            bands = -(-len(batch) // columns)
            cells = torch.full((2 * bands * columns, *run.image.shape), float("nan"))
            for index, (image, copy) in enumerate(zip(batch.image.cpu(), made, strict=True)):
                band, column = divmod(index, columns)
                cells[2 * band * columns + column] = image
                cells[(2 * band + 1) * columns + column] = copy
            names = class_names(run.image)
            labels = [] if batch.label is None else batch.label.tolist()
            aligned = bool(labels) and all(label == labels[index % columns] for index, label in enumerate(labels))
            figure = image_grid(
                cells,
                columns,
                title=f"{run.title}: reconstructions",
                subtitle=f"{options.split} images above what the model decodes from "
                + ("their posterior mean" if options.codes == "mean" else "one sample of their posterior"),
                row_names=["image", "decoded"] * bands,
                column_names=[names[label] for label in labels[:columns]] if aligned else (),
                row_breaks=range(2, 2 * bands, 2),
            )
            return {"": figure}
