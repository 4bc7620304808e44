"""Metric `class-kept`: is the class that was asked for the class that is seen?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genzoo.interfaces import Metric, RunView
from genzoo.parts.judge import Judge, JudgeSettings, judge_of
from genzoo.parts.latents import along, axis, decode_images, draw_prior, encode, prior_scale
from genzoo.types import Capability
from genzoo_report.options import ClassKeptOptions


class ClassKept(Metric):
    """Agreement of a judge with the requested class, for the three figures in which the class should stay put.

    ``class_swap``: codes drawn from the prior, each decoded as every class. ``style_transfer``: codes of real test
    images, each decoded as every class. ``class_traversal``: each class along each latent dimension within ``span``. Where
    the prior depends on the class, codes are drawn from the priors of the classes in turn, and a traversal is about that
    of its class.
    The metric's own number is the least of the three. The judge is a classifier trained on real images alone; its own
    accuracy on the real test images is ``judge_accuracy``; ``judge_held_out`` is that on training images held out from it,
    which must be at least ``judge_least``.

    Args:
        options: How many codes, and the traversal's reach.
    """

    requires = frozenset({Capability.CONDITIONAL, Capability.REAL_LATENT})
    needs_labels = True
    reads = frozenset({"train", "test"})
    direction = "higher"
    bounds = (0.0, 1.0)
    unit = ""

    options: ClassKeptOptions

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return (
            f"a judge trained on real images; {self.options.codes} codes, each decoded (mean) as every class; traversals "
            f"of ±{self.options.span:g} prior standard deviations in {self.options.steps} steps"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        settings = JudgeSettings(images=self.options.judge_images, least_accuracy=self.options.least_accuracy)
        judge, accuracy = judge_of(run.dataset, settings, device=run.device)
        model, n = run.model, self.options.codes
        classes = run.image.classes or 0
        labels = torch.arange(classes, device=run.device)
        turns = torch.arange(n * classes, device=run.device) // classes % classes
        codes = draw_prior(model, n * classes, turns)[::classes]
        real = encode(model, run.shuffled(n)).top
        numbers = {
            "class_swap": _agreement(run, judge, codes, labels),
            "style_transfer": _agreement(run, judge, real, labels),
            "class_traversal": self._traversal(run, judge, labels),
        }
        told = {"judge_accuracy": accuracy}
        if judge.gate is not None:
            told |= {"judge_held_out": judge.gate.accuracy, "judge_least": judge.gate.least}
        return {"": min(numbers.values()), **numbers, **told}

    def _traversal(self, run: RunView, judge: Judge, labels: Tensor) -> float:
        model = run.model
        offsets = axis(self.options.span, self.options.steps).to(run.device)
        kept: list[float] = []
        scale = None
        for label in range(len(labels)):
            if scale is None or model.prior.conditional:
                scale = prior_scale(model, label)
            paths = [along(scale.mean, scale, j, offsets) for j in range(model.levels[0].size)]
            kept.append(_agreement(run, judge, torch.cat(paths), labels[label : label + 1]))
        return sum(kept) / len(kept)


def _agreement(run: RunView, judge: Judge, codes: Tensor, labels: Tensor) -> float:
    """The part of all codes × classes in which the judge sees the class."""
    every_code = codes.repeat_interleave(len(labels), 0)
    wanted = labels.repeat(len(codes))
    images = decode_images(run.model, [every_code], wanted).to(run.device)
    return float((judge.classify(images) == wanted).double().mean())
