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
        kernel: Width of the kernels, odd: the vertical ones have (kernel + 1)/2 rows, the horizontal ones as many columns.
        dilations: Steps between what a kernel reads, one per layer, taken in turn.

    References:
        van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, equations 2 to 4 and figure 2.

    Differs from the paper: positions have embeddings, and the vertical stack has residual connections too.
    """

    def __init__(
        self,
        categories: int,
        height: int,
        width: int,
        *,
        channels: int,
        layers: int,
        classes: int = 0,
        kernel: int = 3,
        dilations: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.size = (height, width)
        self.embed = nn.Embedding(categories, channels)
        self.position = nn.Parameter(0.02 * torch.randn(channels, height, width))
        self.layers = nn.ModuleList(
            GatedLayer(channels, classes, kernel, dilations[i % len(dilations)], last=i == layers - 1)
            for i in range(layers)
        )
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

    @torch.no_grad()
    def unreached(self) -> int:
        """How many pairs of places there are of which the later code's logits do not depend on the earlier code.

        A map of n places has n (n - 1)/2 pairs. A layer passes a code on by as much as its kernel is wide, so that too few
        layers treat far codes as independent. Exact for these kernels, with the map's edges: a path that would leave the map
        leads nowhere.
        """
        height, width = self.size
        # From every column of the first row; lower rows see the same below them.
        seen = F.pad(torch.eye(width).reshape(width, 1, 1, width), (0, 0, 0, height - 1))
        vertical, horizontal = F.pad(seen[:, :, :-1], (0, 0, 1, 0)), F.pad(seen[..., :-1], (1, 0))
        for layer in self.layers:
            below = _reached(layer.pad_above(vertical), layer.vertical)
            horizontal = (horizontal + _reached(layer.pad_left(horizontal), layer.horizontal) + below).sign()
            vertical = (vertical + below).sign()
        dark = horizontal[:, 0] == 0
        same_row = int(dark[:, 0].triu(1).sum())
        rows = torch.arange(height - 1, 0, -1)
        return height * same_row + int((dark[:, 1:].sum((0, 2)) * rows).sum())


def _reached(padded: Tensor, kernel: nn.Conv2d) -> Tensor:
    """Where a convolution's output depends on what is not zero."""
    ones = torch.ones(1, 1, *kernel.kernel_size)
    return F.conv2d(padded, ones, dilation=kernel.dilation).sign()  # pyright: ignore[reportArgumentType]


class GatedLayer(nn.Module):
    """One layer of both stacks. See `GatedPixelCNN`.

    Args:
        channels: Channels D of each stack.
        classes: Number of labels, 0 for none.
        kernel: Width of the kernels.
        dilation: Steps between what they read.
        last: Nothing reads the vertical stack after this layer.
    """

    def __init__(self, channels: int, classes: int, kernel: int = 3, dilation: int = 1, *, last: bool) -> None:
        super().__init__()
        # What comes before, and the place itself.
        self._reach = kernel // 2 * dilation
        back = kernel // 2 + 1
        self.vertical = nn.Conv2d(channels, 2 * channels, (back, kernel), dilation=dilation)
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, back), dilation=dilation)
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.vertical_out = None if last else nn.Conv2d(channels, channels, 1)
        self.horizontal_out = nn.Conv2d(channels, channels, 1)
        self.label = nn.Embedding(classes, 4 * channels) if classes else None

    def down(self, vertical: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """The vertical stack ``[N, D, h, w]`` after the layer, and what the horizontal one adds, ``[N, 2D, h, w]``."""
        seen = self.vertical(self.pad_above(vertical))
        context = self.link(seen)
        if self.label is not None and label is not None:
            to_vertical, to_horizontal = self.label(label)[:, :, None, None].chunk(2, 1)
            seen, context = seen + to_vertical, context + to_horizontal
        if self.vertical_out is not None:
            vertical = vertical + self.vertical_out(_gate(seen))
        return vertical, context

    def right(self, horizontal: Tensor, context: Tensor) -> Tensor:
        """The horizontal stack ``[N, D, h, w]`` after the layer."""
        seen = self.horizontal(self.pad_left(horizontal))
        return horizontal + self.horizontal_out(_gate(seen + context))

    def pad_above(self, vertical: Tensor) -> Tensor:
        """With zeros on top and on both sides, so that a place sees itself and what is above."""
        return F.pad(vertical, (self._reach, self._reach, self._reach, 0))

    def pad_left(self, horizontal: Tensor) -> Tensor:
        """With zeros on the left, so that a place sees itself and what is before it."""
        return F.pad(horizontal, (self._reach, 0))


def _gate(x: Tensor) -> Tensor:
    """Equation 2: tanh of one half of the channels times the sigmoid of the other."""
    value, gate = x.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(gate)
