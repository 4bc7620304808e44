"""Grids of images: every cell where it belongs, in grey and in colour, with names that can be read."""

from __future__ import annotations

import io

import matplotlib.image as mpl_image
import numpy as np
import pytest
import torch

from genzoo.errors import UsageError
from genzoo.parts.figures import WIDTH, render, smallest_text
from genzoo.parts.grids import image_grid


def shown(figure) -> np.ndarray:
    """The picture of a grid, without its names, ``[H, W, 3]``."""
    return figure.axes[0].images[0].get_array()


@pytest.mark.parametrize("channels", [1, 3])
def test_cells_lie_row_by_row(channels: int):
    images = torch.linspace(0, 0.9, 6).view(6, 1, 1, 1).expand(6, channels, 8, 8)
    picture = shown(image_grid(images, 3))
    side = picture.shape[1] / (3 * 8 + 2)
    for index in range(6):
        row, column = divmod(index, 3)
        centre = picture[int((row * 9 + 4) * side), int((column * 9 + 4) * side)]
        assert np.asarray(centre) == pytest.approx(np.full(3, float(images[index, 0, 0, 0])), abs=1e-6)


def test_colour_channels_keep_their_order():
    images = torch.zeros(1, 3, 4, 4)
    images[:, 0] = 1
    assert np.array(shown(image_grid(images, 1))[0, 0]) == pytest.approx([1, 0, 0])


def test_empty_cells_and_a_short_last_row_stay_white():
    images = torch.zeros(3, 1, 4, 4)
    images[1] = float("nan")
    picture = shown(image_grid(images, 2))
    height, width = picture.shape[:2]
    corners = [picture[0, 0], picture[0, width - 1], picture[height - 1, 0], picture[height - 1, width - 1]]
    assert [float(corner[0]) for corner in corners] == [0, 1, 0, 1]


def test_one_image_makes_a_figure_of_full_width():
    figure = image_grid(torch.rand(1, 1, 28, 28), 1, title="one")
    assert figure.get_size_inches()[0] == WIDTH
    assert figure.get_size_inches()[1] < 3


@pytest.mark.parametrize(("rows", "columns"), [(10, 10), (1, 20), (40, 3), (3, 40)])
def test_names_are_legible_inside_the_page_and_apart(rows: int, columns: int):
    figure = image_grid(
        torch.rand(rows * columns, 1, 8, 8),
        columns,
        title="A title",
        subtitle="what to see",
        row_names=[f"row {i}" for i in range(rows)],
        column_names=[f"{i - 3:+.2f}" for i in range(columns)],
        row_label="rows",
        column_label="columns",
        row_breaks=(1,),
        column_breaks=(1,),
    )
    assert smallest_text(figure) >= 7
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    page = figure.bbox
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in boxes)
    picture = figure.axes[0].get_window_extent(renderer)
    assert not any(box.overlaps(picture) for box in boxes)
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shrunk(0.98, 0.9).overlaps(b)]
    assert not overlaps


def test_names_in_other_scripts_do_not_warn():
    render(image_grid(torch.rand(2, 1, 8, 8), 2, column_names=["あ", "$a$"], title="数字"))


def test_values_outside_the_range_are_clamped():
    picture = shown(image_grid(torch.full((1, 1, 4, 4), 7.0), 1))
    assert float(np.max(picture)) == 1.0


def test_an_outline_changes_the_figure():
    images = torch.zeros(4, 1, 8, 8)
    plain, framed = (render(image_grid(images, 2, outlined=cells)) for cells in ((), [(0, 1)]))
    orange = mpl_image.imread(io.BytesIO(framed), format="png")[..., :3]
    assert plain != framed
    assert ((orange[..., 0] > 0.8) & (orange[..., 2] < 0.3)).any()


@pytest.mark.parametrize("shape", [(4, 2, 8, 8), (0, 1, 8, 8), (4, 8, 8)])
def test_what_is_no_batch_of_images_is_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="image_grid: images must be"):
        image_grid(torch.zeros(shape), 2)


def test_names_must_match_the_lines():
    with pytest.raises(UsageError, match="row_names"):
        image_grid(torch.zeros(4, 1, 8, 8), 2, row_names=["a"])
