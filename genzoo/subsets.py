"""Drawing some of many: by seed over all of them, in every class, in their own order. Imports no torch of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def subset_rows(count: int, n: int, seed: int, labels: Tensor | None = None, *, leave: bool = False) -> Tensor:
    """Which ``n`` of ``count`` images are drawn.

    With labels, each class is drawn from in proportion to its images (to the nearest whole number), and at least once
    where ``n`` is not below the number of classes. Where it is, ``n`` classes are drawn, one image each.

    Args:
        count: Number of images, N.
        n: How many are drawn; all of them where N is not more.
        seed: Of the draw, a pure function of its arguments.
        labels: int64 ``[N]`` or None; vectors of conditions, which are no classes, make no difference.
        leave: Leave at least one image of every class, if ``n`` are then left to draw: for a division of the images.

    Returns:
        int64 ``[min(n, N)]`` in rising order, so that files are read in their order.

    Example:
        >>> import torch
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
        >>> labels[subset_rows(8, 4, seed=0, labels=labels)].tolist()
        [0, 0, 1, 2]
    """
    import torch

    if n >= count:
        return torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    if labels is not None and labels.dim() == 1:
        # Numbered by rank, so that nothing grows with the largest label.
        _, classes, counts = labels.cpu()[order].unique(return_inverse=True, return_counts=True)
        grouped = classes.argsort(stable=True)
        place = torch.arange(count) - (counts.cumsum(0) - counts)[classes[grouped]]
        most = counts - 1 if leave and n <= count - len(counts) else counts
        order = order[grouped[place < _quotas(counts, most, n, seed)[classes[grouped]]]]
    return order[:n].sort().values


def _quotas(counts: Tensor, most: Tensor, n: int, seed: int) -> Tensor:
    """How many of each class are drawn, int64 ``[K]`` with the sum ``n``.

    Args:
        counts: int64 ``[K]``, how many there are.
        most: int64 ``[K]``, how many may be drawn; their sum is at least ``n``.
        n: How many are drawn in all.
        seed: Of the classes, where there are more of them than ``n``.
    """
    import torch

    open_to = most.nonzero().squeeze(1)
    if n < len(open_to):
        chosen = open_to[torch.randperm(len(open_to), generator=torch.Generator().manual_seed(seed ^ 1))[:n]]
        return torch.zeros_like(counts).index_fill_(0, chosen, 1)
    exact = counts.double() * n / counts.sum()
    quotas = exact.floor().long().clamp_min(1).minimum(most)
    # What is missing goes where the share was rounded down by most; what is too much is taken where it was rounded up.
    while (missing := n - int(quotas.sum())) > 0:
        room = (exact - quotas).masked_fill(quotas >= most, -torch.inf)
        quotas[room.topk(min(missing, int((quotas < most).sum()))).indices] += 1
    for _ in range(-missing):
        quotas[(exact - quotas).masked_fill(quotas < 2, torch.inf).argmin()] -= 1
    return quotas
