"""The `bars` dataset: horizontal and vertical bars, each there or not."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Dataset
from genzoo.types import ImageSpec, Split
from genzoo_bars.options import BarsOptions


class Bars(Dataset):
    """Bars over all of a row or a column, each there by itself; a pixel is white where a bar crosses it.

    The bars are the factors that a model should find: 2 · side of them, each 0 or 1. The label is whether more bars lie
    than stand.

    Args:
        options: The side, the probability of a bar, how many images, and which.

    References:
        Földiák 1990, *Forming sparse representations by local anti-Hebbian learning*, section 4.
    """

    def __init__(self, options: BarsOptions) -> None:
        super().__init__(options)
        self._side, self._chance, self._seed = options.side, options.chance, options.seed
        self._sizes = {"train": options.train, "test": options.test}
        names = [f"{lie} {place}" for lie in ("row", "column") for place in range(options.side)]
        self.factor_names = tuple(names)
        self.factor_sizes = (2,) * len(names)

    @property
    def spec(self) -> ImageSpec:
        """See `Dataset.spec`."""
        names = ("no more rows", "more rows")
        return ImageSpec((1, self._side, self._side), classes=2, class_names=names, levels=2)

    def split(self, name: str) -> Split:
        """See `Dataset.split`."""
        if name not in self._sizes:
            raise UsageError(f"split: name must be one of {', '.join(self._sizes)}, got {name!r}.")
        draw = torch.Generator().manual_seed(2 * self._seed + (name == "test"))
        there = torch.rand(self._sizes[name], 2 * self._side, generator=draw) < self._chance
        return self.render(there.long())

    def render(self, factors: Tensor) -> Split:
        """See `Dataset.render`."""
        rows, columns = factors.bool().chunk(2, 1)
        images = rows[:, None, :, None] | columns[:, None, None, :]
        more = rows.sum(1) > columns.sum(1)
        return Split(255 * images.expand(-1, 1, self._side, self._side).to(torch.uint8), more.long(), factors)
