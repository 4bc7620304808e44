"""Grids of images as one figure: grey or colour, with names for rows and columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.parts.figures import DPI, INK, MUTED, PALETTE, WIDTH, house_style, new_figure, printable

_EDGE = 0.12
"""Margin around everything, in inches."""
_PAD = 0.07
"""Between images and what is written about them, in inches."""
_CELL = (0.17, 1.1)
"""Least and greatest side of a cell in inches: a row's name must fit beside it; one image need not fill the page."""
_TALLEST = 10.0
_GAP = 0.05
_BREAK = 0.30
"""Space between cells, and at a break, in cell widths."""


def image_grid(
    images: Tensor,
    columns: int,
    *,
    title: str = "",
    subtitle: str = "",
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    row_label: str = "",
    column_label: str = "",
    column_groups: Sequence[str] = (),
    row_breaks: Collection[int] = (),
    column_breaks: Collection[int] = (),
    outlined: Collection[tuple[int, int]] = (),
) -> Figure:
    """A figure of images in rows and columns, grey on a fixed scale from 0 (black) to 1 (white), or in colour.

    Args:
        images: ``[N, C, H, W]`` in [0, 1], row by row, C of 1 or 3; a cell of NaN, and those after the last, stay empty.
        columns: Images a row.
        title: Of the figure.
        subtitle: One line below the title, on what to see.
        row_names, column_names: Written beside each row and above each column.
        row_label, column_label: What the rows' and the columns' names are.
        column_groups: What each block of columns between breaks is, instead of ``column_label``.
        row_breaks, column_breaks: Indices of rows and columns that wider space comes before.
        outlined: (row, column) of cells to draw a frame around.

    Raises:
        UsageError: If the images have another shape, or names do not match the rows and columns.

    Example:
        >>> image_grid(torch.rand(6, 1, 4, 4), columns=3, column_names=["a", "b", "c"]).axes[0].get_title()
        ''
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3) or len(images) < 1 or columns < 1:
        raise UsageError(f"image_grid: images must be [N, 1 or 3, H, W] with N ≥ 1, got {list(images.shape)}.")
    rows = -(-len(images) // columns)
    for what, names, count in (("row_names", row_names, rows), ("column_names", column_names, columns)):
        if names and len(names) != count:
            raise UsageError(f"image_grid: {what} must be one a line of the grid, {count}, got {len(names)}.")
    bounds = [0, *sorted(index for index in column_breaks if 0 < index < columns), columns]
    if column_groups and len(column_groups) != len(bounds) - 1:
        blocks = len(bounds) - 1
        raise UsageError(f"image_grid: column_groups must be one a block, {blocks}, got {len(column_groups)}.")
    picture, lefts, tops = _montage(images, columns, row_breaks, column_breaks)
    height, width = images.shape[2:]
    with house_style():
        figure = new_figure(4, constrained=False)
        row_texts = [printable(name) for name in row_names]
        column_texts = [printable(name) for name in column_names]
        row_extent = max((_extent(figure, text, 8)[0] for text in row_texts), default=0.0)
        left = _EDGE + (row_extent + _PAD if row_texts else 0) + (0.22 if row_label else 0)
        inner = WIDTH - left - _EDGE
        scale = _scale(inner, picture.shape[1] / width, picture.shape[0] / height, width, height, bool(row_texts))
        shown_width, shown_height = picture.shape[1] * scale, picture.shape[0] * scale
        left += (inner - shown_width) / 2
        slanted = any(_extent(figure, text, 8)[0] > (width * (1 + _GAP)) * scale for text in column_texts)
        column_extent = max((_extent(figure, t, 8)[0 if slanted else 1] for t in column_texts), default=0.0)
        top = _EDGE + (0.24 if title else 0) + (0.2 if subtitle else 0) + (0.1 if title or subtitle else 0)
        heading = top
        top += (0.2 if column_label or column_groups else 0) + (column_extent + _PAD if column_texts else 0)
        total = top + shown_height + _EDGE
        figure.set_size_inches(WIDTH, total)

        axes = figure.add_axes((left / WIDTH, _EDGE / total, shown_width / WIDTH, shown_height / total), frameon=False)
        axes.set_axis_off()
        enlarged = math.ceil(scale * DPI)  # at least the file's resolution, so that square pixels stay square
        axes.imshow(
            picture.repeat(enlarged, 0).repeat(enlarged, 1),
            extent=(0, picture.shape[1], picture.shape[0], 0),
            aspect="auto",
            interpolation="antialiased",
        )
        for row, column in outlined:
            where = (lefts[column], tops[row])
            axes.add_patch(
                Rectangle(where, width, height, fill=False, edgecolor=PALETTE[1], linewidth=1.6, clip_on=False)
            )

        def write(x: float, y: float, text: str, **style: Any) -> None:
            figure.text(x / WIDTH, 1 - y / total, text, **style)

        for text, start in zip(row_texts, tops, strict=False):
            middle = top + (start + height / 2) * scale
            write(left - _PAD, middle, text, ha="right", va="center", size=8)
        for text, start in zip(column_texts, lefts, strict=False):
            middle = left + (start + width / 2) * scale
            write(middle, top - _PAD, text, ha="center", va="bottom", size=8, rotation=90 if slanted else 0)
        if row_label:
            x = left - _PAD - row_extent - (0.12 if row_texts else 0)
            write(x, top + shown_height / 2, row_label, ha="center", va="center", size=9, rotation=90)
        for text, first, end in zip(
            column_groups or [column_label], bounds, bounds[1:] if column_groups else [columns], strict=False
        ):
            middle = left + (lefts[first] + lefts[end - 1] + width) / 2 * scale
            write(middle, heading + 0.05, printable(text), ha="center", va="center", size=9)
        if title:
            where = {"x": _EDGE / WIDTH, "y": 1 - (_EDGE + 0.02) / total, "ha": "left", "va": "top"}
            figure.suptitle(printable(title, 90), **where, size=11, color=INK, weight="bold")
        if subtitle:
            y = _EDGE + (0.26 if title else 0.02)
            write(_EDGE, y, printable(subtitle, 120), ha="left", va="top", size=8.5, color=MUTED)
    return figure


def _montage(
    images: Tensor, columns: int, row_breaks: Collection[int], column_breaks: Collection[int]
) -> tuple[np.ndarray[Any, Any], list[int], list[int]]:
    """One picture ``[H, W, 3]``, and where each column and row starts in it, in pixels."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    gap = max(1, round(_GAP * width))
    wide = max(2, round(_BREAK * width))

    def starts(n: int, side: int, breaks: Collection[int]) -> list[int]:
        position, found = 0, list[int]()
        for index in range(n):
            position += (wide if index in breaks else gap) if index else 0
            found.append(position)
            position += side
        return found

    lefts, tops = starts(columns, width, column_breaks), starts(rows, height, row_breaks)
    picture = torch.ones(tops[-1] + height, lefts[-1] + width, 3)
    cells = images.detach().float().cpu().expand(count, 3 if channels == 1 else channels, height, width)
    for index, cell in enumerate(cells.permute(0, 2, 3, 1)):
        top, left = tops[index // columns], lefts[index % columns]
        empty = bool(cell.isnan().all())
        picture[top : top + height, left : left + width] = 1.0 if empty else cell.nan_to_num().clamp(0, 1)
    return cast("np.ndarray[Any, Any]", picture.numpy()), lefts, tops


def _scale(inner: float, across: float, down: float, width: int, height: int, named: bool) -> float:
    """Inches a pixel: the page filled, but no cell above its greatest side and no page taller than need be."""
    scale = min(inner / (across * width), _CELL[1] / max(width, height), _TALLEST / (down * height))
    if named:
        scale = max(scale, min(_CELL[0] / height, inner / (across * width)))
    return scale


def _extent(figure: Figure, text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in inches."""
    renderer = cast("FigureCanvasAgg", figure.canvas).get_renderer()
    artist = figure.text(0, 0, text, size=size)
    box = artist.get_window_extent(renderer)
    artist.remove()
    return box.width / figure.dpi, box.height / figure.dpi
