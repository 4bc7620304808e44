"""The `interpolation` visualizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Model, RunView, Visualizer
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images, encode, linear_path, spherical_path
from genzoo.types import Batch, ImageSpec
from genzoo_visualizers.options import InterpolationOptions
from genzoo_visualizers.selection import check_class, examples, first_of_class, is_conditional

_POOL = 1000
_PATHS: dict[str, tuple[Callable[[Tensor, Tensor, int], Tensor], str]] = {
    "linear": (linear_path, "straight line"),
    "spherical": (spherical_path, "great arc"),
}


class Interpolation(Visualizer):
    """Paths between the codes of test images, decoded, with the images themselves at both ends.

    Where there are labels, the first row goes from the source class to the target class (3 to 8). A conditional model
    decodes the first half of a path as the class of its start and the second half as the class of its end. A discrete
    model is interpolated between the embeddings of its codes, which is what its decoder reads.

    Args:
        options: Steps, pairs, kind of path, classes of the first row, and the levels interpolated.

    References:
        Figure 4 of the report; White 2016, *Sampling generative networks*.
    """

    options: InterpolationOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`; the default classes give way to the data's, those that were asked for do not."""
        for option in ("source", "target"):
            if option in self.options.model_fields_set:
                check_class("interpolation", option, getattr(self.options, option), image)

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        with drawing(run.seed, "interpolation"):
            pool = examples(run, _POOL)
            pairs = self._pairs(pool, run.image)
            kinds = list(_PATHS) if self.options.path == "both" else [self.options.path]
            figures = {kind: self._figure(run, pool, pairs, kind) for kind in kinds}
            return {"" if kind == kinds[0] else kind: figure for kind, figure in figures.items()}

    def _pairs(self, pool: Batch, image: ImageSpec) -> list[tuple[int, int]]:
        """Indices of the images at the ends of each path; the classes of an end differ where that is possible."""
        n = len(pool)
        pairs: list[tuple[int, int]] = []
        if image.classes is not None:
            last = image.classes - 1
            ends = [first_of_class(pool, min(label, last)) for label in (self.options.source, self.options.target)]
            if ends[0] is not None and ends[1] is not None:
                pairs.append((ends[0], ends[1]))
        used = {index for pair in pairs for index in pair}
        order = [index for index in torch.randperm(n).tolist() if index not in used] or list(range(n))
        while len(pairs) < self.options.pairs:
            start = order[(2 * len(pairs)) % len(order)]
            later = [order[(2 * len(pairs) + 1 + offset) % len(order)] for offset in range(min(8, len(order)))]
            pairs.append((start, next((end for end in later if _differ(pool, start, end)), later[0])))
        return pairs

    def _figure(self, run: RunView, pool: Batch, pairs: list[tuple[int, int]], kind: str) -> Figure:
        steps, (path, words) = self.options.steps, _PATHS[kind]
        ends = torch.tensor(pairs, device=run.device)
        codes = encode(run.model, pool[ends.flatten()])
        levels = codes.inputs if self.options.levels == "all" else codes.inputs[:1]
        if not all(level.is_floating_point() for level in levels):
            raise UsageError(
                "interpolation: the model must give its decoder real numbers, got codes without an embedding.",
                "Give each latent a decoder_input.",
            )
        points = [path(level[0::2], level[1::2], steps).flatten(0, 1) for level in levels]
        labels = None
        if is_conditional(run.model) and pool.label is not None:
            first, second = pool.label[ends].unbind(1)
            half = torch.arange(steps, device=run.device) < steps / 2
            labels = torch.stack([second, first], 1)[:, half.long()].flatten(0, 1)
        made = decode_images(run.model, points, labels).unflatten(0, (len(pairs), steps))
        images = pool.image[ends].cpu()
        cells = torch.cat([images[:, :1], made, images[:, 1:]], dim=1)
        names = class_names(run.image)
        classes = (
            []
            if pool.label is None or pool.label.dim() > 1
            else [(names[a], names[b]) for a, b in pool.label[ends].tolist()]
        )
        return image_grid(
            cells.flatten(0, 1),
            steps + 2,
            title=f"{run.title}: {kind} interpolation",
            subtitle=f"along the {words} between the codes of two test images, which are shown at both ends"
            + ("; the class changes half-way" if labels is not None else ""),
            row_names=[f"{start} → {end}" for start, end in classes],
            column_names=["from", *(f"{step / (steps - 1):.2f}" for step in range(steps)), "to"],
            column_label="position t along the path",
            column_breaks=(1, steps + 1),
        )


def _differ(pool: Batch, start: int, end: int) -> bool:
    """Whether two images are two, and of two classes where there are labels."""
    return start != end and (pool.label is None or not torch.equal(pool.label[start], pool.label[end]))
