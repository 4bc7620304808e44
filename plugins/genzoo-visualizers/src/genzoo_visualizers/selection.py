"""Choosing images and labels: examples of every class, and the classes that a figure needs."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Generator, Model, RunView
from genzoo.types import Batch, Capability, ImageSpec

_POOL = 2000
"""Images that examples are chosen from; enough for a rare class, little enough to be quick."""


def is_conditional(model: Generator) -> bool:
    """Whether the model decodes under a label."""
    return Capability.CONDITIONAL in model.capabilities


def labels_for(model: Generator, label: Tensor | None) -> Tensor | None:
    """The label if the model takes one, None otherwise."""
    return label if is_conditional(model) else None


def how(model: Generator, *, mean: bool, labelled: bool) -> str:
    """How samples are made, for a subtitle."""
    if not isinstance(model, Model):
        return "generated from draws of the prior"
    of = "p(x|z, c)" if labelled else "p(x|z)"
    return f"{'the mean' if mean else 'a draw'} of {of} for z drawn from the prior"


def examples(run: RunView, count: int, split: str = "test") -> Batch:
    """``count`` images at random, the classes in turn: 0, 1, …, 0, 1, …; in any order without labels.

    There are fewer where the split has fewer. A class that has run out is passed over.
    """
    pool = run.shuffled(max(count, _POOL), split)
    if pool.label is None or pool.label.dim() > 1:
        return pool[:count]
    # Stable sort by (how often the class came before, class).
    labels = pool.label.cpu()
    turn = torch.zeros(len(labels), dtype=torch.int64)
    for value in labels.unique():
        of_class = labels == value
        turn[of_class] = torch.arange(int(of_class.sum()))
    order = (turn * (int(labels.max()) + 1) + labels).argsort(stable=True)[:count]
    return pool[order.to(pool.image.device)]


def first_of_class(batch: Batch, label: int) -> int | None:
    """Where the first image of a class is, None if there is none."""
    if batch.label is None or batch.label.dim() > 1:
        return None
    found = (batch.label == label).nonzero()
    return int(found[0]) if len(found) else None


def check_class(name: str, option: str, label: int, image: ImageSpec) -> None:
    """Refuse a class that the data has not.

    Raises:
        UsageError: If there are labels and the class is not among them.
    """
    if image.classes is not None and label >= image.classes:
        raise UsageError(
            f"{name}: {option} must be a class from 0 to {image.classes - 1}, got {label}.",
            f"Choose another with --viz.{name}.{option}.",
        )


def class_count(image: ImageSpec) -> int:
    """The number of classes, which a conditional model always has.

    Raises:
        UsageError: If the data has no labels.
    """
    if image.classes is None:
        raise UsageError("figure: the dataset must have labels, got one without.", "Choose a dataset with labels.")
    return image.classes


def labels_in_turn(run: RunView, count: int) -> Tensor:
    """Labels of ``count`` samples: the classes in turn, or the conditions of test images."""
    if not run.image.conditions:
        return torch.arange(count, device=run.device) % class_count(run.image)
    of_images = run.batch(count).label
    assert of_images is not None
    return of_images[torch.arange(count) % len(of_images)]


def farthest_apart(latents: Tensor, count: int) -> Tensor:
    """Indices of ``count`` latents, each the farthest from those before it; the first is the nearest to their mean.

    Distances are in standard deviations of the latents given; between codes, the number of codes that differ.

    Args:
        latents: ``[N, *event]``, real or integer, with N of at least ``count``.
        count: How many.

    Example:
        >>> farthest_apart(torch.tensor([[0.0], [0.1], [5.0], [-4.0]]), 3).tolist()
        [1, 2, 3]
    """
    if len(latents) == count:
        return torch.arange(count, device=latents.device)
    flat = latents.flatten(1)
    if flat.is_floating_point():
        flat = flat.double()
        flat = (flat - flat.mean(0)) / flat.std(0, correction=0).clamp_min(1e-12)
        chosen = [int(flat.norm(dim=1).argmin())]
    else:
        chosen = [0]
    nearest = torch.full((len(flat),), torch.inf, dtype=torch.float64, device=flat.device)
    while len(chosen) < count:
        apart = flat - flat[chosen[-1]]
        distance = apart.norm(dim=1) if flat.is_floating_point() else (apart != 0).sum(1).double()
        nearest = torch.minimum(nearest, distance)
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen, device=latents.device)
