"""What a generator that does not encode is judged by: its samples beside images of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from genzoo.findings import EARLY_EPOCHS, EARLY_STEPS, FEW_STEPS, Finding
from genzoo.interfaces.generator import Generator
from genzoo.interfaces.view import RunView
from genzoo.types import Capability

IMAGES = 500
"""Images and samples that are compared, at most."""

VALUES = 2**22
"""Pixel values of each side, at most."""

NEIGHBOURS = 5
"""An image is covered where a sample lies nearer than this many images of the data."""

SAME = 0.02
"""Samples whose variance is below this part of the images' variance are one image, all but."""

FEW = 0.25
"""A share of covered images below this part of what as many real images cover is a collapse to a few modes."""


@dataclass(frozen=True)
class Drawn:
    """Samples of a generator beside images of its data.

    Args:
        images: How many of each.
        spread: Variance of samples, summed over pixels, over that of images.
        shift: Squared distance of the mean sample from the mean image, over the images' variance.
        covered: The share of test images that have a sample nearer than their own fifth neighbour among test images.
        expected: The share that as many training images cover.
        steps, epochs: How long it was trained.

    References:
        Naeem et al. 2020, *Reliable fidelity and diversity metrics for generative models*, equation 6, for the coverage.
    """

    images: int
    spread: float
    shift: float
    covered: float
    expected: float
    steps: int = 0
    epochs: int = 0

    @property
    def early(self) -> bool:
        """See `genzoo.findings.Evidence.early`."""
        return self.steps < FEW_STEPS or (self.steps < EARLY_STEPS and self.epochs < EARLY_EPOCHS)


def gather_drawn(view: RunView, row: Mapping[str, Any] | None) -> Drawn | None:
    """Samples beside test images, or training images where there are none; None for fewer than a handful. Called at rest."""
    model = cast(Generator, view.model)
    count = min(IMAGES, VALUES // view.image.pixels)
    of = "test" if view.splits.get("test") else "train"
    images, train = view.shuffled(count, of), view.shuffled(count, "train")
    count = min(len(images), len(train))
    if count <= 2 * NEIGHBOURS:
        return None
    prior = getattr(model, "prior", None)
    labelled = Capability.CONDITIONAL in model.capabilities or getattr(prior, "conditional", False)
    label = images.label[:count] if labelled and images.label is not None else None
    samples = model.sample(count, label, seed=view.seed)
    real, other, made = (value[:count].flatten(1).double() for value in (images.image, train.image, samples))
    variance = real.var(0).sum().clamp_min(1e-12)
    return Drawn(
        images=count,
        spread=float(made.var(0).sum() / variance),
        shift=float((made.mean(0) - real.mean(0)).square().sum() / variance),
        covered=coverage(real, made),
        expected=coverage(real, other),
        steps=int((row or {}).get("step") or 0),
        epochs=int((row or {}).get("epoch") or 0),
    )


def coverage(images: Tensor, samples: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """The share of images with a sample no farther than their own k-th neighbour among the images.

    Args:
        images: ``[N, pixels]``.
        samples: ``[M, pixels]``.
        neighbours: k.

    Example:
        >>> images = torch.arange(8.0)[:, None]
        >>> coverage(images, images, 1), coverage(images, torch.zeros(8, 1), 1)
        (1.0, 0.25)
    """
    own = torch.cdist(images, images).kthvalue(neighbours + 1, dim=1).values
    return float((torch.cdist(images, samples).amin(1) <= own).double().mean())


def drawn_findings(drawn: Drawn) -> list[Finding]:
    """What is found about a generator's samples, the most important first."""
    numbers = (
        f"{drawn.images} samples have {drawn.spread:.2f} times the variance of as many test images, and are near to "
        f"{drawn.covered:.0%} of these, where training images are near to {drawn.expected:.0%}."
    )
    if drawn.expected == 0:
        return [Finding("note", f"The samples cannot be judged by their distance in pixels. {numbers}")]
    if drawn.early:
        return [
            Finding("note", f"The samples cannot be judged yet, after {drawn.steps} steps: {numbers} Train longer.")
        ]
    remedies = "more --epochs, other learning rates or another --seed"
    if drawn.spread < SAME:
        return [Finding("fault", f"The model draws one image, all but, whatever its latents are: {numbers}", remedies)]
    if drawn.covered < FEW * drawn.expected:
        few = drawn.spread < 0.5
        what = "The samples are all of a few kinds" if few else "The samples look unlike the data"
        return [Finding("fault", f"{what}: {numbers}", remedies)]
    whole = drawn.covered > 0.75 * drawn.expected
    if whole:
        return [Finding("good", f"The samples are spread like the data: {numbers}")]
    return [Finding("note", f"The samples miss a part of the data: {numbers}")]
