"""What models without latents of their own are judged by: samples beside images, and densities beside single pixels'."""

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


def density_findings(view: RunView, row: Mapping[str, Any] | None) -> list[Finding]:
    """What is found about a model of pixels: whether it knows more than the grey levels of each pixel by itself.

    Nothing where its prior has no density or the data no number of grey levels. Samples are not drawn, which may take a
    step per pixel.
    """
    tested = (row.get("test") or row.get("train") or {}) if row else {}
    levels, elbo = view.image.levels, tested.get("elbo")
    if levels is None or elbo is None:
        return []
    count = max(1, VALUES // view.image.pixels)
    of = "test" if view.splits.get("test") else "train"
    alone = pixels_alone(view.shuffled(count, "train").image, view.shuffled(count, of).image, levels)
    steps, epochs = int((row or {}).get("step") or 0), int((row or {}).get("epoch") or 0)
    exact = view.model.prior.density == "exact" and Capability.DETERMINISTIC_POSTERIOR in view.model.capabilities
    most = "" if exact else "at most "  # a bound on log p(z), or dequantized grey levels
    text = f"{most}{-elbo:.2f} nats per image, where pixels drawn each by itself take {alone:.2f}"
    if -elbo < alone:
        return [Finding("good", f"The model knows more than single pixels: it takes {text}.")]
    if Drawn(0, 0.0, 0.0, 0.0, 0.0, steps, epochs).early:
        return [Finding("note", f"The model is not trained yet: it takes {text}. {steps} steps are few; train longer.")]
    return [Finding("fault", f"The model is not trained: it takes {text}.", "more --epochs or another --lr")]


def pixels_alone(train: Tensor, test: Tensor, levels: int) -> float:
    """The mean of −log p of test images in nats, where each pixel has the frequencies that it has in training images.

    Args:
        train: ``[N, C, H, W]`` in [0, 1]; ``test`` likewise.
        levels: Number of grey levels. Together they count as seen once more.

    Example:
        >>> round(pixels_alone(torch.zeros(3, 1, 1, 1), torch.ones(1, 1, 1, 1), 2), 3)  # log((3 + 1) / 0.5)
        2.079
    """
    seen, other = ((images.flatten(1) * (levels - 1)).round().long() for images in (train, test))
    counts = torch.zeros(seen.shape[1], levels, dtype=torch.float64, device=seen.device)
    counts.scatter_add_(1, seen.T, torch.ones_like(seen.T, dtype=torch.float64))
    log_share = ((counts + 1 / levels) / (len(seen) + 1)).log()
    return float(-log_share.gather(1, other.T).sum(0).mean())
