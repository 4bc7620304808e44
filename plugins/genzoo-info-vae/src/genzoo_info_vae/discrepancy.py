"""Kernels and the squared maximum mean discrepancy between two samples."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Multiples of the squared width that a multi-scale kernel averages over (Tolstikhin et al. 2018, their code)."""


def kernel_matrix(
    x: Tensor,
    y: Tensor,
    kernel: Literal["imq", "rbf"] = "imq",
    bandwidth: float = 1.0,
    scales: tuple[float, ...] = (1.0,),
) -> Tensor:
    r"""k(x_i, y_j), in (0, 1].

    With :math:`c = 2 d\,\mathrm{bandwidth}^2`, the mean squared distance of two draws of N(0, bandwidth² I), times each of
    ``scales``: imq :math:`c / (c + \|x - y\|^2)`, rbf :math:`\exp(-\|x - y\|^2 / c)`; averaged over scales.

    Args:
        x: ``[N, D]``.
        y: ``[M, D]``.
        kernel: ``"imq"`` or ``"rbf"``.
        bandwidth: Positive.
        scales: Positive multiples of c.

    Returns:
        ``[N, M]``.

    Example:
        >>> kernel_matrix(torch.zeros(1, 2), torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([[1.0000, 0.5000]])
    """
    squared = (x[:, None, :] - y[None, :, :]).square().sum(-1)
    total = torch.zeros_like(squared)
    for scale in scales:
        width = 2 * x.shape[1] * bandwidth**2 * scale
        total = total + (width / (width + squared) if kernel == "imq" else torch.exp(-squared / width))
    return total / len(scales)


def squared_mmd(within_x: Tensor, within_y: Tensor, between: Tensor, *, unbiased: bool = True) -> Tensor:
    r""":math:`\mathrm{MMD}^2 = E\,k(x, x') + E\,k(y, y') - 2\,E\,k(x, y)`, ``[]``, from the three kernel matrices.

    Args:
        within_x: ``[N, N]``.
        within_y: ``[M, M]``.
        between: ``[N, M]``.
        unbiased: Leave the diagonals out (it may then be negative); a sample of one keeps its own.

    References:
        Gretton et al. 2012, *A Kernel Two-Sample Test*, equations 3 (unbiased) and 5 (biased).
    """
    return _mean(within_x, unbiased) + _mean(within_y, unbiased) - 2 * between.mean()


def _mean(within: Tensor, unbiased: bool) -> Tensor:
    n = len(within)
    if not unbiased or n == 1:
        return within.mean()
    return (within.sum() - within.diagonal().sum()) / (n * (n - 1))
