"""A causal transformer over codes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo_autoregressive.autoregressive import CodesPrior
from genzoo_autoregressive.options import TransformerOptions


class TransformerPrior(CodesPrior):
    r"""A transformer over codes that sees all earlier ones, whatever lies between; see `CodesPrior`.

    References:
        Chen et al. 2020, Generative Pretraining from Pixels, section 2.2; Esser et al. 2021, Taming Transformers for
        High-Resolution Image Synthesis, section 3.2; Vaswani et al. 2017, Attention Is All You Need, equation 1.
    """

    name: ClassVar[str] = "transformer"
    options: TransformerOptions

    def make(self, categories: int, size: tuple[int, int]) -> CausalTransformer:
        """See `CodesPrior.make`."""
        options = self.options
        return CausalTransformer(
            categories,
            *size,
            width=options.width,
            layers=options.layers,
            heads=options.heads,
            classes=self.classes,
            dropout=options.dropout,
        )


class CausalTransformer(nn.Module):
    r"""Logits of each code of a map from those before it, row by row.

    .. math:: x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x)), \qquad x \leftarrow x + \mathrm{mlp}(\mathrm{norm}(x))

    The first place sees a learned start, to which the label's embedding is added; each place has a learned position. The
    last layer begins as zero, so that an untrained network is uniform.

    Args:
        categories: K.
        rows, columns: Of a map.
        width: Numbers that a place is described by.
        layers: Blocks.
        heads: Attention heads in a block.
        classes: Number of labels, 0 for none.
        dropout: Part of the numbers that each block leaves out in training.
    """

    def __init__(
        self,
        categories: int,
        rows: int,
        columns: int,
        *,
        width: int,
        layers: int,
        heads: int,
        classes: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size = rows, columns
        self.embed = nn.Embedding(categories, width)
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, rows * columns, width))
        self.label = nn.Embedding(classes, width) if classes else None
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, categories)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits ``[N, K, h, w]`` for codes ``[N, h, w]`` and labels ``[N]``."""
        before = self.embed(codes.flatten(1)[:, :-1])
        x = torch.cat([self._first(len(codes), label).to(before.dtype), before], 1) + self.position
        for block in self.blocks:
            x, _ = block(x)
        return self.head(self.norm(x)).transpose(1, 2).reshape(len(codes), -1, *self.size)

    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """Maps drawn one code after another, ``[n, h, w]``, for labels ``[n]``.

        Each place is computed once: the keys and values of those before it are kept.
        """
        places = self.position.shape[1]
        codes = torch.zeros(n, places, dtype=torch.int64, device=self.position.device)
        caches: list[tuple[Tensor, Tensor] | None] = [None] * len(self.blocks)
        seen = self._first(n, label)
        for place in range(places):
            x = seen + self.position[:, place : place + 1]
            for number, block in enumerate(self.blocks):
                x, caches[number] = block(x, caches[number])
            logits = self.head(self.norm(x))[:, 0]
            codes[:, place] = torch.multinomial(logits.float().softmax(-1), 1)[:, 0]
            seen = self.embed(codes[:, place : place + 1])
        return codes.reshape(n, *self.size)

    def _first(self, n: int, label: Tensor | None) -> Tensor:
        """What the first place sees, ``[N, 1, width]``."""
        start = self.start.expand(n, -1, -1)
        return start if self.label is None or label is None else start + self.label(label)[:, None]


class Block(nn.Module):
    """Causal self-attention and a network of each place, both beside a skip. See `CausalTransformer`.

    Args:
        width: Numbers of a place.
        heads: Attention heads.
        dropout: Part of what is added that is left out in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads = heads
        self.before = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.after = nn.LayerNorm(width)
        self.each = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, kept: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The places ``[N, P, width]`` after the block, and the keys and values of all so far.

        Args:
            x: Places that follow those of ``kept``; one if there are any.
            kept: What the call before gave.
        """
        n, places, width = x.shape
        split = self.project(self.before(x)).reshape(n, places, 3, self._heads, width // self._heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        if kept is not None:
            key, value = torch.cat([kept[0], key], 2), torch.cat([kept[1], value], 2)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=kept is None)
        x = x + self.drop(self.out(seen.transpose(1, 2).reshape(n, places, width)))
        return x + self.drop(self.each(self.after(x))), (key, value)
