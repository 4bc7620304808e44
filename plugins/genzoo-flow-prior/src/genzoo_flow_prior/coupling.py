"""One affine coupling layer, with its inverse."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AffineCoupling(nn.Module):
    r"""Scales and shifts one half of a vector by functions of the other half.

    .. math:: y = b \odot x + (1 - b) \odot (x \odot e^{s(b \odot x)} + t(b \odot x))

    Args:
        mask: bool ``[D]``, b: what stays as it is. All false is an affine map by constants.
        width: Hidden units of the network that gives s and t.
        bound: s lies in (−bound, bound), through a scaled tanh.

    References:
        Dinh et al. 2017, Density estimation using Real NVP, equation 9.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, width: int, bound: float) -> None:
        super().__init__()
        size = len(mask)
        self.register_buffer("mask", mask, persistent=False)
        self.bound = bound
        last = nn.Linear(width, 2 * size)
        # Zeros make the layer the identity when training starts.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.body(torch.where(self.mask, x, 0)).chunk(2, -1)
        return torch.where(self.mask, 0, self.bound * torch.tanh(scale)), torch.where(self.mask, 0, shift)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y ``[*, D]`` and log |det dy/dx| ``[*]``."""
        scale, shift = self._scale_and_shift(x)
        return x * scale.exp() + shift, scale.sum(-1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """x ``[*, D]`` and log |det dx/dy| ``[*]``."""
        # What the mask keeps is the same in x and y, so s and t can be computed from y.
        scale, shift = self._scale_and_shift(y)
        return (y - shift) * (-scale).exp(), -scale.sum(-1)
