"""Whether conditional samples look like the class that they were asked for, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from genzoo.interfaces import Generator, Measurement, Metric, RunView
from genzoo.randomness import derive
from genzoo.subsets import subset_rows
from genzoo.types import Capability
from genzoo_metrics.judged import judge_for
from genzoo_metrics.options import ClassAccuracyOptions

_UNITS = {
    "diversity": "pixel distance",
    "diversity-real": "pixel distance",
    "worst-class": "(class)",
    "samples-worst-class": "(class)",
}


class ClassAccuracy(Metric):
    r"""The part of conditional samples in which an independent judge finds the class that was asked for.

    ``per_class`` samples of each class with z from the prior, once as the decoder's mean (the metric's own number, and
    ``class-0`` and so on) and once as a draw of p(x|z) (``samples``, ``samples-class-0`` and so on). ``worst`` is the
    least accuracy of a class by the means and ``worst-class`` that class; ``samples-worst`` likewise. ``judge`` is the
    judge's own accuracy on the real test images, ``judge-held-out`` that on training images held out from it, which must
    be at least ``judge-least``.

    ``diversity`` is the mean Euclidean distance between two means of a class, averaged over classes, and
    ``diversity-real`` that of real test images: an accurate model that draws one image a class has diversity 0.

    Draws of a Bernoulli likelihood are speckled; a judge of grey images has never seen the like, so read ``samples``
    for data that is binarized.
    """

    on = Generator
    requires = frozenset({Capability.CONDITIONAL})
    needs_labels = True
    reads = frozenset({"train", "test"})
    direction = "higher"
    bounds = (0, 1)

    @property
    def _own(self) -> ClassAccuracyOptions:
        return cast(ClassAccuracyOptions, self.options)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        own = self._own
        return (
            f"{own.per_class} samples a class from the prior, decoder means and draws, classified by a CNN trained on "
            f"{own.judge_images} real training images (repeats counted, seed {own.judge_seed}) and gated on held-out ones; "
            "diversity is the mean Euclidean distance within a class"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        own = self._own
        judge, numbers = judge_for(run, own)
        classes = run.image.classes or 0
        accuracy: dict[str, list[float]] = {"": [], "samples": []}
        distances: list[float] = []
        for label in range(classes):
            asked = torch.full((own.per_class,), label, device=run.device)
            for kind, found in accuracy.items():
                seed = derive(run.seed, "classes", label)
                images = run.model.sample(own.per_class, asked, seed=seed, mean=kind == "")
                found.append((judge.classify(images) == label).double().mean().item())
                if kind == "":
                    distances.append(mean_distance(images))
        numbers["diversity"] = sum(distances) / classes
        real = _real_diversity(run, classes, own.per_class)
        if real is not None:
            numbers["diversity-real"] = real
        for kind, found in accuracy.items():
            prefix = f"{kind}-" if kind else ""
            numbers[kind] = sum(found) / classes
            numbers[f"{prefix}worst"] = min(found)
            numbers[f"{prefix}worst-class"] = float(found.index(min(found)))
            numbers |= {f"{prefix}class-{label}": value for label, value in enumerate(found)}
        return Measurement(numbers, units={name: unit for name, unit in _UNITS.items() if name in numbers})


def mean_distance(images: Tensor) -> float:
    """The mean Euclidean distance between two different images of ``[N, C, H, W]``, N at least 2."""
    flat = images.flatten(1)
    return (torch.cdist(flat, flat).sum() / (len(flat) * (len(flat) - 1))).item()


def _real_diversity(run: RunView, classes: int, per_class: int) -> float | None:
    """The mean over the classes that have two test images; None where none has."""
    test = run.batch()
    assert test.label is not None
    groups = [test.image[test.label == label] for label in range(classes)]
    groups = [group[subset_rows(len(group), per_class, seed=0).to(group.device)] for group in groups]
    found = [mean_distance(group) for group in groups if len(group) > 1]
    return sum(found) / len(found) if found else None
