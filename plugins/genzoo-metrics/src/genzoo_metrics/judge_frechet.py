"""How far a model's samples are from real images in the features of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Generator, Measurement, Metric, Model, RunView
from genzoo.types import Capability
from genzoo_metrics.judged import OF_THE_JUDGE, features, judge_for, sampled
from genzoo_metrics.options import JudgeFrechetOptions


class JudgeFrechet(Metric):
    r"""Fréchet distance between normals fitted to a judge's features of samples and of real test images.

    .. math:: \|m_s - m_r\|^2 + \mathrm{tr}\bigl(C_s + C_r - 2 (C_s C_r)^{1/2}\bigr)

    The metric's own number is of decoder means, or of a generator's images; ``samples`` is of draws of p(x|z), where there
    is one; ``real`` is of as many real training images, which is about what a perfect model would score (the judge was
    trained on them). A conditional model is asked for the labels of the test images. The features are those of a small
    classifier trained on the same data: the number is no FID and compares with none.

    Args:
        options: How many images, and how the judge is trained.

    References:
        Dowson and Landau 1982, *The Fréchet distance between multivariate normal distributions*; Heusel et al. 2017,
        *GANs trained by a two time-scale update rule*, for the idea of comparing features.
    """

    on = Generator
    needs_labels = True
    reads = frozenset({"train", "test"})
    direction = "lower"
    bounds = (0, None)
    unit = "squared feature units"

    @property
    def _own(self) -> JudgeFrechetOptions:
        return cast(JudgeFrechetOptions, self.options)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol(f"at most {self._own.images} samples against as many real test images")

    def _protocol(self, images: str) -> str:
        own = self._own
        return (
            f"Fréchet distance of normals fitted to 128 features of a CNN trained on {own.judge_images} real training "
            f"images (repeats counted, seed {own.judge_seed}), {images}; not FID"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        own = self._own
        judge, numbers = judge_for(run, own)
        test = run.batch(own.images)
        if len(test) < 2:
            raise UsageError(f"judge-frechet: test images must be at least two, got {len(test)}.", "Raise --limit.")
        real = features(judge, test.image)
        train = features(judge, run.shuffled(len(test), "train").image)
        numbers["real"] = frechet(train, real)
        # A generator without a likelihood, or whose latents are the pixels, has nothing to draw but its images.
        model = cast(Generator, run.model)
        draws = isinstance(model, Model) and Capability.EXACT_POSTERIOR not in model.capabilities
        kinds = {"": True, "samples": False} if draws else {"": True}
        for name, mean in kinds.items():
            made = sampled(run, test.label, len(test), "frechet", mean=mean)
            numbers[name] = frechet(torch.cat([features(judge, images) for images in made]), real)
        count = run.split().subset(own.images).count
        return Measurement(
            numbers,
            units=dict.fromkeys(OF_THE_JUDGE, ""),
            protocol=self._protocol(f"{len(test)} samples against {count} real test images"),
        )


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between normals with the moments of features ``[N, F]`` and ``[M, F]``; at least 2 of each.

    The trace of (C_a C_b)^½ is the sum of the singular values of C_a^½ C_b^½, so that nothing but symmetric matrices is
    decomposed.

    Example:
        >>> round(frechet(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])), 6)
        9.0
    """
    a, b = a.double(), b.double()
    roots = _root(torch.atleast_2d(a.T.cov())), _root(torch.atleast_2d(b.T.cov()))
    apart = (a.mean(0) - b.mean(0)).square().sum()
    spread = sum(root.square().sum() for root in roots)
    overlap = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    return max(0.0, float(apart + spread - 2 * overlap))


def _root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T
