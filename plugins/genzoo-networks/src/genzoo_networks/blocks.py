"""Blocks that several networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Self-attention over positions, with a skip.

    Args:
        channels: Of the map; a head has 32 of them, or all where there are fewer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = norm(channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        n, channels, height, width = image.shape
        split = self.project(self.norm(image)).reshape(n, 3, self.heads, channels // self.heads, height * width)
        query, key, value = split.transpose(-1, -2).unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2)
        return image + self.out(seen.reshape(n, channels, height, width))


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in groups of eight channels, or of fewer where eight does not divide them."""
    size = next(size for size in (8, 4, 2, 1) if channels % size == 0)
    return nn.GroupNorm(channels // size, channels)
