"""Whether samples look like real images, whether real images look like samples, and whether samples are copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Generator, Measurement, Metric, Model, RunView
from genzoo.parts.judge import Judge
from genzoo.subsets import subset_rows
from genzoo_metrics.judged import OF_THE_JUDGE, features, judge_for, sampled
from genzoo_metrics.neighbours import density_coverage, nearest, precision_recall
from genzoo_metrics.options import PrecisionRecallOptions

COVERED = 0.1
"""A class is covered if samples show it at least this many times as often as real images do."""

_UNITS = {
    "density": "points per ball",
    "real-density": "points per ball",
    "classes-covered": "classes",
    "nearest-ratio": "ratio",
}


class PrecisionRecall(Metric):
    r"""Fidelity and variety of samples apart, in the features of a judge, and how near samples are to training images.

    - ``precision``: the share of samples within the ball around a real test image that reaches its k-th nearest
      neighbour; ``recall``: the share of test images within such a ball around a sample.
    - ``density``: how many balls of test images hold a sample, over k; 1 if samples and images are alike, more where
      samples crowd. ``coverage``: the share of test images whose ball holds a sample.
    - ``classes-covered``: in how many classes the judge puts at least a tenth of the share of samples that real test
      images have there.
    - ``nearest-ratio``: how far samples are from the nearest training image in pixels, over the same of test images,
      medians each. A model that copies has a ratio near 0. Smooth or few kinds of samples lie near training images too,
      so a ratio below 1 alone is no proof; look at the figure ``nearest``.

    ``real-precision`` and so on are those of as many training images instead of samples, about what a perfect model would
    score (the judge was trained on them). Values depend on the number of images and on the judge, so compare within one
    protocol only. A conditional model is asked for the labels of the test images.

    Args:
        options: How many images, k, and how the judge is trained.

    References:
        Kynkäänniemi et al. 2019, *Improved Precision and Recall Metric for Assessing Generative Models*; Naeem et al. 2020,
        *Reliable Fidelity and Diversity Metrics for Generative Models*.

    Differs from the paper: features are those of a small classifier trained on the same data, instead of an ImageNet one's.
    """

    on = Generator
    needs_labels = True
    reads = frozenset({"train", "test"})
    direction = "higher"
    bounds = (0, 1)

    @property
    def _own(self) -> PrecisionRecallOptions:
        return cast(PrecisionRecallOptions, self.options)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        own = self._own
        return self._protocol(
            f"at most {own.images} samples against as many real test images",
            f"at most {own.nearest} samples and test images against all training images" if own.nearest else "",
        )

    def _protocol(self, images: str, searched: str, *, likelihood: bool = True) -> str:
        own = self._own
        kind = f", {'decoder means' if own.pixels == 'mean' else 'draws'}" if likelihood else ""
        found = f"; nearest training images in pixels, {searched}, medians" if searched else ""
        return (
            f"k = {own.neighbours} (density and coverage {own.density_neighbours}) in 128 features of a CNN trained on "
            f"{own.judge_images} real training images (repeats counted, seed {own.judge_seed}), {images}{kind}{found}"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        own, model = self._own, cast(Generator, run.model)
        test = run.batch(own.images)
        train = run.shuffled(len(test), "train")
        least = 1 + max(own.neighbours, own.density_neighbours)
        if min(len(test), len(train)) < least:
            raise UsageError(
                f"precision-recall: test and training images must be at least {least}, one more than neighbours, got "
                f"{min(len(test), len(train))}.",
                "Raise --limit, or lower `neighbours` and `density_neighbours`.",
            )
        judge, of_the_judge = judge_for(run, own)
        real = features(judge, test.image).double()
        parts: list[Tensor] = []
        shown = torch.zeros(run.image.classes or 0, device=run.device)
        chosen = torch.zeros(len(test), dtype=torch.bool)
        chosen[subset_rows(len(test), own.nearest, seed=0, labels=test.label)] = True
        few: list[Tensor] = []
        for images in sampled(run, test.label, len(test), "precision-recall", mean=own.pixels == "mean"):
            few.append(images[chosen[sum(map(len, parts)) :][: len(images)].to(images.device)])
            parts.append(features(judge, images).double())
            shown += torch.bincount(judge.classify(images), minlength=len(shown))
        numbers = self._compared(real, torch.cat(parts), "")
        numbers["classes-covered"] = float(self._covered(judge, test.image, shown))
        searched = ""
        if own.nearest:
            made = torch.cat(few)
            held_out = run.shuffled(len(made)).image
            numbers["nearest-ratio"] = self._nearest(run, made) / self._nearest(run, held_out)
            count = run.split("train").count
            searched = f"{len(made)} samples and test images against {count} training images"
        numbers |= self._compared(real, features(judge, train.image).double(), "real-")
        count = run.split().subset(own.images).count
        return Measurement(
            {**numbers, **of_the_judge},
            units={name: unit for name, unit in _UNITS.items() if name in numbers} | dict.fromkeys(OF_THE_JUDGE, ""),
            protocol=self._protocol(
                f"{len(test)} samples against {count} real test images",
                searched,
                likelihood=isinstance(model, Model),
            ),
        )

    def _compared(self, real: Tensor, made: Tensor, prefix: str) -> dict[str, float]:
        precision, recall = precision_recall(real, made, self._own.neighbours)
        density, coverage = density_coverage(real, made, self._own.density_neighbours)
        found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
        return {f"{prefix}{name}": value for name, value in found.items()}

    def _covered(self, judge: Judge, images: Tensor, shown: Tensor) -> int:
        """How many classes of the test images are covered by what the judge saw in the samples, ``[classes]``."""
        present = torch.bincount(judge.classify(images), minlength=len(shown))
        return int(((present > 0) & (shown >= COVERED * present)).sum())

    def _nearest(self, run: RunView, images: Tensor) -> float:
        """The median distance to the nearest training image, in pixels."""
        others = (batch.image.flatten(1) for batch in run.batches(2000, split="train"))
        return max(float(nearest(images.flatten(1), others)[0].median()), 1e-12)
