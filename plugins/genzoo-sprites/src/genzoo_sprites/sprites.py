"""The sprites dataset: images made from their factors when they are asked for."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.parts.binarize import binarize_above_half, binarize_once
from genzoo.parts.pixels import PixelDataset
from genzoo.randomness import derive
from genzoo.types import ImageSpec, Split
from genzoo_sprites.options import SpritesOptions
from genzoo_sprites.shapes import SHAPES, stamps

_BATCH = 4096


class Sprites(PixelDataset):
    """White shapes on black with five known factors: shape, scale, orientation, x and y, made like dSprites.

    The grid has 3 · 6 · 40 · 32 · 32 = 737,280 images of 64×64; the splits are a seeded draw from it, and `render` makes
    any image of it. The label is the shape. A factor's value is its index: shapes in the order of
    `genzoo_sprites.shapes.SHAPES`, scales from half to full, orientations counter-clockwise from 0, x to the right, y down.

    A square looks the same after a quarter of a turn and an ellipse after half a turn, as in dSprites: of the 40
    orientations pixels tell 10 and 20 apart, all 40 of a heart alone. `identifiable` gives images that are the same pixel by
    pixel the same factors, and no such image is in both splits.

    Args:
        options: Size of the grid, of the images and of the draw.

    Raises:
        UsageError: If there are more positions than pixels to move by, or fewer grid points than images asked for.

    Example:
        >>> data = Sprites(SpritesOptions())
        >>> data.factor_sizes, tuple(data.render(torch.tensor([[2, 5, 0, 16, 16]])).images.shape)
        ((3, 6, 40, 32, 32), (1, 1, 64, 64))

    References:
        Matthey et al. 2017, *dSprites: Disentanglement testing Sprites dataset*.

    Differs from the paper:
        Edges are grey, by the share of the pixel covered; positions are whole pixels; the orientations do not repeat
        the first at a full turn; the shapes' outlines are this module's own.
    """

    licence = "none needed: the images are drawn by this code"
    factor_names = ("shape", "scale", "orientation", "x", "y")
    options: SpritesOptions

    def __init__(self, options: SpritesOptions) -> None:
        super().__init__(options)
        if options.positions > options.size // 2:
            raise UsageError(
                f"sprites: positions must be at most half the size, {options.size // 2}, got {options.positions}."
            )
        self.factor_sizes = (len(SHAPES), options.scales, options.orientations, options.positions, options.positions)
        wanted, there = options.images + options.test_images, math.prod(self.factor_sizes)
        if wanted > there:
            raise UsageError(
                f"sprites: images and test_images must together be at most the grid's {there}, got {wanted}.",
                "Ask for fewer images or more values of the factors.",
            )

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec((1, self.options.size, self.options.size), classes=len(SHAPES), class_names=SHAPES)

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        generator = torch.Generator().manual_seed(derive(self.options.seed, "sprites"))
        drawn = torch.randperm(math.prod(self.factor_sizes), generator=generator)
        for_test = self._for_test(generator)[drawn]
        here, count = (~for_test, self.options.images) if name == "train" else (for_test, self.options.test_images)
        return self.draw(self.factors_at(drawn[here][:count]))

    def _for_test(self, generator: torch.Generator) -> Tensor:
        """Which points of the grid are for the test split, bool ``[grid]``.

        Distinct images are dealt out whole, in the proportion of the splits, so that no point is likelier than another to be
        in the test split.
        """
        first, grid = self._first, len(self._first)
        wanted, asked = self.options.test_images, self.options.images + self.options.test_images
        share = min(max(wanted, round(grid * wanted / asked)), grid - self.options.images)
        points = torch.bincount(first, minlength=grid)
        for_test = torch.zeros(grid, dtype=torch.bool)
        left, below = share, grid
        # Images that stand for as many points in turn, most points first, so that those of few make up what is left.
        for size in points[points > 0].unique().flip(0).tolist():
            images = (points == size).nonzero()[:, 0]
            below -= size * len(images)
            least, most = max(0, -((below - left) // size)), min(len(images), left // size)
            count = max(min(round(len(images) * share / grid), most), min(least, most))
            for_test[images[torch.randperm(len(images), generator=generator)[:count]]] = True
            left -= size * count
        if share - left < wanted:
            raise UsageError(
                f"sprites: test_images must be at most {share - left} beside {self.options.images} images, so that no image "
                f"is in both splits, got {wanted}.",
                "Ask for fewer images or more values of the factors.",
            )
        return for_test[first]

    def identifiable(self, factors: Tensor) -> Tensor:
        """See `Dataset.identifiable`; in the order of the grid, y running fastest."""
        self._check(factors)
        place = torch.zeros(len(factors), dtype=torch.int64)
        for column, size in enumerate(self.factor_sizes):
            place = place * size + factors[:, column]
        return self.factors_at(self._first[place])

    def render(self, factors: Tensor) -> Split:
        """See `Dataset.render`; images are binarized as those of the test split are.

        Raises:
            UsageError: If the factors are not int64 ``[N, 5]`` indices within ``factor_sizes``.
        """
        split, how = self.draw(factors), self.options.binarize
        if how == "none":
            return split
        once = binarize_above_half(split.images) if how == "threshold" else None
        images = binarize_once(split.images, self.options.binarize_seed) if once is None else once
        return Split(images, split.labels, split.factors)

    def factors_at(self, index: Tensor) -> Tensor:
        """Factor indices, int64 ``[N, 5]``, of points of the grid numbered in row-major order, y running fastest."""
        return torch.stack(torch.unravel_index(index, self.factor_sizes), dim=1)

    def draw(self, factors: Tensor) -> Split:
        """Grey images of factor indices ``[N, 5]``, with their shapes as labels."""
        self._check(factors)
        size, side = self.options.size, self.options.size // 2
        shape, scale, orientation, x, y = factors.unbind(1)
        which = (shape * self.options.scales + scale) * self.options.orientations + orientation
        images = torch.zeros(len(factors), size, size, dtype=torch.uint8)
        pixel = torch.arange(side)
        for start in range(0, len(factors), _BATCH):
            part = slice(start, start + _BATCH)
            rows = (self._offsets[y[part]][:, None] + pixel)[:, :, None]
            columns = (self._offsets[x[part]][:, None] + pixel)[:, None, :]
            batch = torch.arange(start, start + len(rows))[:, None, None]
            images[batch, rows, columns] = self._stamps[which[part]]
        return Split(images.unsqueeze(1), shape.clone(), factors)

    @cached_property
    def _stamps(self) -> Tensor:
        return stamps(self.options.scales, self.options.orientations, self.options.size // 2)

    @cached_property
    def _first(self) -> Tensor:
        """The first point of the grid with the same image as each point, int64 ``[grid]``."""
        stamps = binarize_above_half(self._stamps) if self.options.binarize == "threshold" else self._stamps
        known: dict[bytes, int] = {}
        outlines: list[tuple[int, int, int]] = []
        for stamp in stamps:
            rows, columns = stamp.any(1).nonzero()[:, 0], stamp.any(0).nonzero()[:, 0]
            top, left = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
            cut = stamp[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1] if len(rows) else stamp[:0]
            name = bytes(cut.shape) + cut.numpy().tobytes()
            outlines.append((known.setdefault(name, len(known)), top, left))
        outline, top, left = torch.tensor(outlines).unbind(1)
        # An image is an outline and where it begins; a blank one begins nowhere.
        blank = stamps.flatten(1).amax(1) == 0
        down = (top[:, None] + self._offsets).masked_fill(blank[:, None], 0)
        right = (left[:, None] + self._offsets).masked_fill(blank[:, None], 0)
        side = self.options.size
        image = ((outline[:, None, None] * side + right[:, :, None]) * side + down[:, None, :]).flatten()
        _, which = image.unique(return_inverse=True)
        grid = torch.arange(len(image))
        return torch.full((int(which.max()) + 1,), len(image)).scatter_reduce(0, which, grid, "amin")[which]

    @cached_property
    def _offsets(self) -> Tensor:
        """First row or column of the stamp at each position: from the edge, in whole pixels, one apart by default."""
        count, last = self.options.positions, self.options.size // 2 - 1
        if count == 1:
            return torch.tensor([self.options.size // 4])
        return (torch.arange(count) * last + (count - 1) // 2) // (count - 1)

    def _check(self, factors: Tensor) -> None:
        width = len(self.factor_sizes)
        if factors.dtype != torch.int64 or factors.dim() != 2 or factors.shape[1] != width:
            raise UsageError(f"render: factors must be int64 [N, {width}], got {factors.dtype} {list(factors.shape)}.")
        for column, (name, size) in enumerate(zip(self.factor_names, self.factor_sizes, strict=True)):
            wrong = factors[:, column][(factors[:, column] < 0) | (factors[:, column] >= size)]
            if len(wrong):
                raise UsageError(f"render: {name} must be in [0, {size}), got {int(wrong[0])}.")
