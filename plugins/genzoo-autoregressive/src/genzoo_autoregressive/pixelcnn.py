"""A gated PixelCNN over a map of codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedPixelCNN(nn.Module):
    """Logits of every code of a map, each from the codes before it in raster order and an optional label.

    A vertical stack sees the rows above and a horizontal one the codes to the left, so that there is no blind spot.
    Inputs are shifted by one row and one column; after that, every layer may see its own position.

    Args:
        categories: Number of codes K.
        height, width: Size of the map.
        channels: Channels of each stack.
        layers: Number of gated layers.
        classes: Number of labels, 0 for none.

    References:
        van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, equations 2 to 4 and figure 2.

    Differs from the paper: positions have embeddings, and the vertical stack has residual connections too.
    """

    def __init__(
        self, categories: int, height: int, width: int, *, channels: int, layers: int, classes: int = 0
    ) -> None:
        super().__init__()
        self.size = (height, width)
        self.embed = nn.Embedding(categories, channels)
        self.position = nn.Parameter(0.02 * torch.randn(channels, height, width))
        self.layers = nn.ModuleList(GatedLayer(channels, classes, last=i == layers - 1) for i in range(layers))
        last = nn.Conv2d(channels, categories, 1)
        # Zeros make the untrained distribution uniform.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
        self.head = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, channels, 1), nn.SiLU(), last)

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits ``[N, K, r, w]`` for codes ``[N, r, w]``, the first r rows of maps, and labels ``[N]``."""
        x = self.embed(codes).permute(0, 3, 1, 2)
        position = self.position[:, : codes.shape[1]]
        vertical = F.pad(x, (0, 0, 1, 0))[:, :, :-1] + position
        horizontal = F.pad(x, (1, 0))[:, :, :, :-1] + position
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, label)
        return self.head(horizontal)


class GatedLayer(nn.Module):
    """One layer of both stacks. See `GatedPixelCNN`.

    Args:
        channels: Channels of each stack.
        classes: Number of labels, 0 for none.
        last: Nothing reads the vertical stack after this layer.
    """

    def __init__(self, channels: int, classes: int, *, last: bool) -> None:
        super().__init__()
        self.vertical = nn.Conv2d(channels, 2 * channels, (2, 3))
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, 2))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.vertical_out = None if last else nn.Conv2d(channels, channels, 1)
        self.horizontal_out = nn.Conv2d(channels, channels, 1)
        self.label = nn.Embedding(classes, 4 * channels) if classes else None

    def forward(self, vertical: Tensor, horizontal: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both stacks ``[N, D, h, w]`` after the layer."""
        # Padding on top and left only: a position sees itself and what comes before it.
        down = self.vertical(F.pad(vertical, (1, 1, 1, 0)))
        right = self.horizontal(F.pad(horizontal, (1, 0))) + self.link(down)
        if self.label is not None and label is not None:
            to_down, to_right = self.label(label)[:, :, None, None].chunk(2, 1)
            down, right = down + to_down, right + to_right
        if self.vertical_out is not None:
            vertical = vertical + self.vertical_out(_gate(down))
        return vertical, horizontal + self.horizontal_out(_gate(right))


def _gate(x: Tensor) -> Tensor:
    """Equation 2: tanh of one half of the channels times the sigmoid of the other."""
    value, gate = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(gate)
