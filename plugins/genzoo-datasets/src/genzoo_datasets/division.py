"""Dividing images into training and test set by a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.randomness import derive
from genzoo.subsets import subset_rows
from genzoo_datasets.options import SplitOptions


def divide(count: int, options: SplitOptions, split: str, labels: Tensor | None = None) -> Tensor:
    """Which of ``count`` images are in a split: both together hold each once, and neither is empty.

    Args:
        count: Number of images.
        options: The test set's part and the seed.
        split: ``"train"`` or ``"test"``.
        labels: int64 ``[count]``, of which each class is divided in proportion; see `subset_rows`.

    Returns:
        int64 indices in rising order.

    Raises:
        UsageError: If there are fewer than two images.
    """
    if count < 2:
        raise UsageError(
            f"dataset: images must be at least two to be divided into training and test set, got {count}.",
            "Give a training and a test set.",
        )
    test = min(max(1, round(count * options.test_fraction)), count - 1)
    drawn = subset_rows(count, test, derive(options.split_seed, "split"), labels, leave=True)
    if split == "test":
        return drawn
    rest = torch.ones(count, dtype=torch.bool)
    rest[drawn] = False
    return rest.nonzero().squeeze(1)
