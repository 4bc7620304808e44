"""What the metrics of a judge share: the judge of a run, features of images, samples of the data's labels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genzoo.interfaces import Generator, LatentGenerator, RunView
from genzoo.parts.judge import Judge, JudgeSettings, judge_of
from genzoo.randomness import derive
from genzoo.types import Capability
from genzoo_metrics.options import JudgeOptions

CHUNK = 500
"""Images sampled, and seen by the judge, at once."""

OF_THE_JUDGE = ("judge", "judge-held-out", "judge-least")
"""Numbers that say what the judge is worth, beside its verdict."""


def judge_for(run: RunView, own: JudgeOptions) -> tuple[Judge, dict[str, float]]:
    """The judge of a run's data as the options have it, with the numbers `OF_THE_JUDGE`."""
    settings = JudgeSettings(own.judge_images, own.judge_seed, own.judge_accuracy)
    judge, accuracy = judge_of(run.dataset, settings, device=run.device)
    assert judge.gate is not None
    numbers = (accuracy, judge.gate.accuracy, judge.gate.least)
    return judge.eval(), dict(zip(OF_THE_JUDGE, numbers, strict=True))


def features(judge: Judge, images: Tensor) -> Tensor:
    """The judge's features of images, ``[N, 128]``."""
    return torch.cat([judge.features(part) for part in images.split(CHUNK)])


def takes_labels(model: Generator) -> bool:
    """Whether a label changes what is sampled, through the model or through its prior."""
    by_prior = isinstance(model, LatentGenerator) and model.prior.conditional
    return Capability.CONDITIONAL in model.capabilities or by_prior


def sampled(run: RunView, labels: Tensor | None, n: int, stream: str, *, mean: bool) -> Iterator[Tensor]:
    """``n`` samples, `CHUNK` at a time, of the labels ``[n]`` where the model takes any.

    Args:
        run: Its model samples, its seed seeds.
        labels: Those of as many real images.
        n: How many.
        stream: Names the draw.
        mean: See `Generator.sample`.
    """
    wanted = labels if takes_labels(run.model) else None
    for number, start in enumerate(range(0, n, CHUNK)):
        label = None if wanted is None else wanted[start : start + CHUNK]
        yield run.model.sample(min(CHUNK, n - start), label, seed=derive(run.seed, stream, number), mean=mean)
