"""The `nearest` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Generator, Model, RunView, Visualizer
from genzoo.parts.figures import drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.judge import Judge, JudgeSettings, judge_of
from genzoo.types import ImageSpec
from genzoo_visualizers.options import NearestOptions
from genzoo_visualizers.selection import how, is_conditional, labels_in_turn

_CHUNK = 1000
"""Training images looked at together."""


class Nearest(Visualizer):
    """Samples beside the training images that are nearest to them, to see whether the model copies.

    Args:
        options: How many samples and neighbours, and whether they are near in pixels or in the features of a judge.
    """

    on = Generator
    options: NearestOptions

    def __init__(self, options: NearestOptions) -> None:
        super().__init__(options)
        # Labels that are vectors of conditions, and a judge's gate, are of test images.
        self.reads = frozenset({"train", "test"})

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`.

        Raises:
            IncompatibleError: If a judge is asked for and there are no classes.
        """
        if self.options.space == "judge" and image.classes is None:
            raise IncompatibleError(
                "nearest: the dataset must have classes for a judge, got none.", "Leave out --viz.nearest.space."
            )

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        own = self.options
        with drawing(run.seed, "nearest"):
            labels = labels_in_turn(run, own.count) if is_conditional(run.model) else None
            samples = run.model.sample(own.count, labels)
            judge = self._judge(run)
            found, distance = self._found(run, samples, judge)
            neighbours = found.shape[1]
            cells = torch.cat([samples[:, None].cpu(), found.cpu()], 1).flatten(0, 1)
            where = "pixels" if judge is None else "a judge's features"
            count = run.split("train").count
            figure = image_grid(
                cells,
                1 + neighbours,
                title=f"{run.title}: nearest training images",
                subtitle=f"nearest in {where}, of {count} training images; the sample is {_made(run, labels)}",
                row_names=[f"{float(value):.3g}" for value in distance],
                row_label="distance of the nearest",
                column_breaks={1},
                column_groups=["sample", "nearest training images"],
            )
            return {"": figure}

    def _judge(self, run: RunView) -> Judge | None:
        own = self.options
        if own.space == "pixels":
            return None
        return judge_of(run.dataset, JudgeSettings(own.judge_images), device=run.device)[0].eval()

    def _found(self, run: RunView, samples: Tensor, judge: Judge | None) -> tuple[Tensor, Tensor]:
        """The nearest images ``[n, k, C, H, W]`` of each sample, the nearest first, and the distance of the first."""

        def points(images: Tensor) -> Tensor:
            return images.flatten(1) if judge is None else judge.features(images)

        best = torch.full((len(samples), 0), torch.inf, device=samples.device)
        images = samples[:, None][:, :0]
        for batch in run.batches(_CHUNK, split="train"):
            distance = torch.cdist(points(samples), points(batch.image))
            near, index = distance.topk(min(self.options.neighbours, len(batch)), largest=False)
            best, images = torch.cat([best, near], 1), torch.cat([images, batch.image[index]], 1)
            best, order = best.sort(dim=1, stable=True)
            best, order = (part[:, : self.options.neighbours] for part in (best, order))
            images = images[torch.arange(len(samples), device=samples.device)[:, None], order]
        return images, (points(samples) - points(images[:, 0])).norm(dim=1)


def _made(run: RunView, labels: Tensor | None) -> str:
    return how(run.model, mean=True, labelled=labels is not None)
