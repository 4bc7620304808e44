"""The layers of a critic of vectors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import nn


def perceptron(size: int, widths: Sequence[int]) -> list[nn.Module]:
    """Layers from ``[*, size]`` through hidden layers of those widths to one score, ``[*, 1]``."""
    layers: list[nn.Module] = []
    for old, new in itertools.pairwise((size, *widths)):
        layers += [nn.Linear(old, new), nn.LeakyReLU(0.2)]
    return [*layers, nn.Linear((size, *widths)[-1], 1)]
