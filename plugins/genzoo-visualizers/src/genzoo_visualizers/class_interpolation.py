"""The `class-interpolation` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from genzoo.interfaces import Model, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images, draw_prior, linear_path, prior_scale
from genzoo.types import Capability, ImageSpec
from genzoo_visualizers.options import ClassInterpolationOptions
from genzoo_visualizers.selection import check_class, class_count


class ClassInterpolation(Visualizer):
    r"""One straight path through the latents decoded as two classes, for several paths.

    A path runs from a draw of the first class's prior to its reflection in the prior's mean, :math:`2\mu - z`.

    Args:
        options: The two classes, and how many paths and steps.

    References:
        Figure 5, top rows, of the report.
    """

    needs_labels = True
    requires = frozenset({Capability.CONDITIONAL, Capability.REAL_LATENT})
    options: ClassInterpolationOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`; the default classes give way to the data's, those that were asked for do not."""
        for option in ("first", "second"):
            if option in self.options.model_fields_set:
                check_class("class-interpolation", option, getattr(self.options, option), image)

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        paths, steps, last = self.options.paths, self.options.steps, class_count(run.image) - 1
        first, second = min(self.options.first, last), min(self.options.second, last)
        with drawing(run.seed, "class-interpolation"):
            label = torch.full((paths,), first, dtype=torch.int64, device=run.device)
            start = draw_prior(run.model, paths, label)
            latents = linear_path(start, 2 * prior_scale(run.model, first).mean - start, steps)
            both = latents.repeat_interleave(2, 0).flatten(0, 1)
            labels = torch.tensor([first, second], device=run.device).repeat_interleave(steps).repeat(paths)
            names = class_names(run.image)
            figure = image_grid(
                decode_images(run.model, [both], labels),
                steps,
                title=f"{run.title}: one path, two classes",
                subtitle="each pair of rows decodes the same straight path, from a draw of the prior to its mirror image",
                row_names=[names[first], names[second]] * paths,
                row_label="decoded as class",
                row_breaks=range(2, 2 * paths, 2),
                column_names=[f"{step / (steps - 1):.2f}" for step in range(steps)],
                column_label="position t along the path",
            )
            return {"": figure}
