"""The `traversal` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import LatentGenerator, Model, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing, latent_name
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import Scale, along, axis, decode_images, encode, prior_scale
from genzoo.types import Capability, ImageSpec
from genzoo_visualizers.axes import UNIT, ranked, ticks
from genzoo_visualizers.options import TraversalOptions
from genzoo_visualizers.selection import check_class, class_count, is_conditional

_ENCODED = 1000
"""Test images that dimensions are ranked by."""


class Traversal(Visualizer):
    """What each latent dimension does: images along its axis.

    A latent of two dimensions is drawn as a grid of the plane; one of more as one row a dimension, the others held
    fixed. Axes are in standard deviations of the prior in use, about its mean. A conditional model decodes one class;
    a hierarchical one traverses its top level, and the others are their mean.

    Args:
        options: Reach and number of steps; which dimensions, from where, and the class.

    References:
        Figure 3 of the report.
    """

    on = LatentGenerator
    requires = frozenset({Capability.REAL_LATENT})
    options: TraversalOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`."""
        if is_conditional(model):
            class_count(image)
        if self.options.label is None:
            return
        if not is_conditional(model):
            raise UsageError(
                f"traversal: label must be left out for a model that is not conditional, got {self.options.label}.",
                "Leave out --viz.traversal.label, or choose a conditional model.",
            )
        check_class("traversal", "label", self.options.label, image)

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        conditional = is_conditional(run.model)
        label = (self.options.label or 0) if conditional else None
        with drawing(run.seed, "traversal"):
            scale = prior_scale(run.model, label)
            name = "" if label is None else f", class {class_names(run.image)[min(label, class_count(run.image) - 1)]}"
            title = f"{run.title}: latent traversal{name}"
            if scale.mean.numel() == 2:
                return {"": self._plane(run, scale, label, title)}
            return {"": self._rows(run, scale, label, title)}

    def _plane(self, run: RunView, scale: Scale, label: int | None, title: str) -> Figure:
        offsets = axis(self.options.span, self.options.steps)
        across, up = torch.meshgrid(offsets, offsets.flip(0), indexing="xy")
        grid = torch.stack([across, up], -1).reshape(-1, *run.model.levels[0].shape).to(scale.mean)
        latents = scale.mean + grid * scale.deviation
        return image_grid(
            decode_images(run.model, [latents], _same(label, latents)),
            self.options.steps,
            title=title,
            subtitle=f"the latent plane, decoded; axes {UNIT}",
            column_names=ticks(offsets.tolist()),
            column_label=latent_name(0),
            row_names=ticks(offsets.flip(0).tolist()),
            row_label=latent_name(1),
        )

    def _rows(self, run: RunView, scale: Scale, label: int | None, title: str) -> Figure:
        offsets = axis(self.options.span, self.options.steps)
        of_image = isinstance(run.model, Model) and self.options.start == "image"
        if isinstance(run.model, Model):
            codes = encode(run.model, run.shuffled(_ENCODED))
            dimensions = ranked(codes, scale)
            start = codes.top[0] if of_image else scale.mean
        else:
            dimensions = [(index, None) for index in range(scale.mean.numel())]
            start = scale.mean
        if self.options.order == "index":
            dimensions.sort()
        dimensions = dimensions[: self.options.rows]
        latents = torch.cat([along(start, scale, dimension, offsets) for dimension, _ in dimensions])
        rates = any(rate is not None for _, rate in dimensions)
        return image_grid(
            decode_images(run.model, [latents], _same(label, latents)),
            self.options.steps,
            title=title,
            subtitle="one dimension a row, the others "
            + ("those of a test image's code" if of_image else "at the prior's mean")
            + ("; the dimension's mean rate beside it" if rates else ""),
            column_names=ticks(offsets.tolist()),
            column_label=f"value {UNIT}",
            row_names=[
                latent_name(dimension) + ("" if rate is None else f"  {rate:.2f} nats")
                for dimension, rate in dimensions
            ],
        )


def _same(label: int | None, latents: Tensor) -> Tensor | None:
    return None if label is None else torch.full((len(latents),), label, dtype=torch.int64, device=latents.device)
