"""A gated PixelCNN over a map of codes."""

from __future__ import annotations

from collections.abc import Sequence

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
        """Logits ``[N, K, h, w]`` for codes ``[N, h, w]`` and labels ``[N]``."""
        return self.beside(codes, self.above(codes, label))

    def above(self, codes: Tensor, label: Tensor | None) -> list[Tensor]:
        """What each layer of the horizontal stack learns of the rows above and of the label.

        Args:
            codes: The first r rows of the maps, ``[N, r, w]``; the last of them is not read.
            label: ``[N]`` or None.

        Returns:
            ``[N, 2D, r, w]`` a layer.
        """
        x = self.embed(codes[:, :-1]).permute(0, 3, 1, 2)
        vertical = F.pad(x, (0, 0, 1, 0)) + self.position[:, : codes.shape[1]]
        contexts: list[Tensor] = []
        for layer in self.layers:
            vertical, context = layer.down(vertical, label)
            contexts.append(context)
        return contexts

    def beside(self, codes: Tensor, contexts: Sequence[Tensor], first: int = 0) -> Tensor:
        """Logits from the codes to the left and what `above` found.

        Args:
            codes: Rows of the maps, ``[N, r, c]``, whole or their first c columns; the last column is not read.
            contexts: ``[N, 2D, r, c]`` a layer.
            first: Place of the first of these rows in the map.

        Returns:
            ``[N, K, r, c]``.
        """
        rows, columns = codes.shape[1:]
        x = self.embed(codes[:, :, :-1]).permute(0, 3, 1, 2)
        horizontal = F.pad(x, (1, 0)) + self.position[:, first : first + rows, :columns]
        for layer, context in zip(self.layers, contexts, strict=True):
            horizontal = layer.right(horizontal, context)
        return self.head(horizontal)

    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """Maps drawn one code after another, ``[n, h, w]``, for labels ``[n]``."""
        height, width = self.size
        codes = torch.zeros(n, height, width, dtype=torch.int64, device=self.position.device)
        for row in range(height):
            # The rows above stay as they are while a row is drawn.
            contexts = [context[:, :, row:] for context in self.above(codes[:, : row + 1], label)]
            for column in range(width):
                line = codes[:, row : row + 1, : column + 1]
                logits = self.beside(line, [context[..., : column + 1] for context in contexts], row)[:, :, 0, -1]
                codes[:, row, column] = torch.multinomial(logits.softmax(-1), 1)[:, 0]
        return codes


class GatedLayer(nn.Module):
    """One layer of both stacks. See `GatedPixelCNN`.

    Args:
        channels: Channels D of each stack.
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

    def down(self, vertical: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vertical stack ``[N, D, h, w]`` after the layer, and what the horizontal one adds, ``[N, 2D, h, w]``."""
        # Padding on top, and on the left below: a position sees itself and what comes before it.
        seen = self.vertical(F.pad(vertical, (1, 1, 1, 0)))
        context = self.link(seen)
        if self.label is not None and label is not None:
            to_vertical, to_horizontal = self.label(label)[:, :, None, None].chunk(2, 1)
            seen, context = seen + to_vertical, context + to_horizontal
        if self.vertical_out is not None:
            vertical = vertical + self.vertical_out(_gate(seen))
        return vertical, context

    def right(self, horizontal: Tensor, context: Tensor) -> Tensor:
        """The horizontal stack ``[N, D, h, w]`` after the layer."""
        seen = self.horizontal(F.pad(horizontal, (1, 0)))
        return horizontal + self.horizontal_out(_gate(seen + context))


def _gate(x: Tensor) -> Tensor:
    """Equation 2: tanh of one half of the channels times the sigmoid of the other."""
    value, gate = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(gate)
