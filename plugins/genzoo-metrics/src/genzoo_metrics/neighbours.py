"""What nearest neighbours say of two sets of points: precision and recall, density and coverage, distances."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_ENTRIES = 4_000_000
"""Distances computed at once."""


def radii(points: Tensor, k: int) -> Tensor:
    """The distance of each point to its k-th nearest neighbour among the others, ``[N]`` for ``[N, D]``, N > k.

    Example:
        >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
        [1.0, 1.0, 2.0]
    """
    found: list[Tensor] = []
    for start, rows in _rows(points, len(points)):
        distances = torch.cdist(rows, points)
        own = torch.arange(len(rows), device=points.device)
        distances[own, start + own] = -1.0  # Itself comes first, whatever rounding makes of its distance.
        found.append(distances.kthvalue(k + 1, dim=1).values)
    return torch.cat(found)


def held(points: Tensor, centres: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """How many balls hold each point, and whether each ball holds a point.

    Args:
        points: ``[M, D]``.
        centres: Of the balls, ``[N, D]``.
        radius: Of the balls, ``[N]``; a point at that distance is held.

    Returns:
        int64 ``[M]`` and bool ``[N]``.

    Example:
        >>> held(torch.tensor([[0.5], [9.0]]), torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([1.0, 1.0, 1.0]))
        (tensor([2, 0]), tensor([ True,  True, False]))
    """
    counts: list[Tensor] = []
    filled = torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    for _, rows in _rows(points, len(centres)):
        inside = torch.cdist(rows, centres) <= radius
        counts.append(inside.sum(1))
        filled |= inside.any(0)
    return torch.cat(counts), filled


def precision_recall(real: Tensor, made: Tensor, k: int = 3) -> tuple[float, float]:
    r"""Improved precision and recall of samples ``[M, D]`` against real points ``[N, D]``, M and N above k.

    Precision is the share of samples within the k-nearest-neighbour ball of a real point, recall the share of real points
    within that of a sample.

    References:
        Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, equations 1 and 2.
    """
    precision = (held(made, real, radii(real, k))[0] > 0).double().mean()
    recall = (held(real, made, radii(made, k))[0] > 0).double().mean()
    return float(precision), float(recall)


def density_coverage(real: Tensor, made: Tensor, k: int = 5) -> tuple[float, float]:
    r"""Density and coverage of samples ``[M, D]`` against real points ``[N, D]``, N above k.

    .. math:: \frac{1}{kM} \sum_j \sum_i 1[y_j \in B_k(x_i)], \qquad \frac1N \sum_i 1[\exists j: y_j \in B_k(x_i)]

    With :math:`B_k(x)` the ball around x that reaches its k-th nearest real neighbour.

    References:
        Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, equations 3 and 4.
    """
    counts, filled = held(made, real, radii(real, k))
    return float(counts.double().mean()) / k, float(filled.double().mean())


def nearest(points: Tensor, others: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The distance of each point to the nearest of others, and that one's number.

    Args:
        points: ``[M, D]``.
        others: Parts ``[n, D]`` of the others, one after another.

    Returns:
        ``[M]``, computed once more from the difference, so that a copy is at distance 0; and int64 ``[M]``.

    Example:
        >>> nearest(torch.tensor([[0.0], [5.0]]), [torch.tensor([[1.0]]), torch.tensor([[5.0], [9.0]])])
        (tensor([1., 0.]), tensor([0, 1]))
    """
    best = torch.full((len(points),), torch.inf, dtype=points.dtype, device=points.device)
    exact, number, place = best.clone(), torch.zeros(len(points), dtype=torch.int64, device=points.device), 0
    for part in others:
        distance, index = torch.cdist(points, part).min(1)
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        exact[nearer] = (points[nearer] - part[index[nearer]]).norm(dim=1)
        number[nearer] = place + index[nearer]
        place += len(part)
    return exact, number


def _rows(points: Tensor, columns: int) -> Iterable[tuple[int, Tensor]]:
    """Points a few at a time, with the number of the first."""
    size = max(1, _ENTRIES // columns)
    return ((start, points[start : start + size]) for start in range(0, len(points), size))
