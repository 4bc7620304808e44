"""The sprites: geometry against areas and moments, determinism, disjoint splits, errors."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.types import Split
from genzoo_sprites.options import SpritesOptions
from genzoo_sprites.shapes import SHAPES, stamp, stamps
from genzoo_sprites.sprites import Sprites

TINY = SpritesOptions(**SpritesOptions.tiny)


@pytest.fixture(scope="module")
def full() -> Sprites:
    """The grid at its default size, whose stamps are made once."""
    return Sprites(SpritesOptions())


@pytest.fixture(scope="module")
def every() -> Tensor:
    return stamps(6, 40, 32)


def area(images: Tensor) -> Tensor:
    return images.double().flatten(1).sum(1) / 255


def test_areas_are_those_of_the_shapes() -> None:
    """The mean of sub-samples is the area: 4a² of a square, πab of an ellipse, at any scale and angle."""
    side, scale, angle = 64, torch.tensor([1.0, 0.5, 0.8]), torch.tensor([0.0, 0.3, 1.1])
    unit = (side / 2) ** 2
    expected = {"square": (2 * 0.66) ** 2, "ellipse": math.pi * 0.46 * 0.93}
    for shape, value in expected.items():
        found = area(stamp(shape, scale, angle, side)) / scale.square() / unit
        torch.testing.assert_close(found, torch.full_like(found, value), rtol=0.01, atol=0)
    heart = area(stamp("heart", scale, angle, side)) / scale.square() / unit
    assert heart.std() / heart.mean() < 0.01


def test_orientation_turns_counter_clockwise() -> None:
    upright, turned, quarter = stamp("ellipse", torch.ones(3), torch.tensor([0.0, math.pi / 8, math.pi / 2]), 32)
    assert (upright.sum(1) > 0).sum() > (upright.sum(0) > 0).sum()
    assert (quarter.T.int() - upright.int()).abs().max() <= 4
    # The top of an upright ellipse that turns counter-clockwise goes left.
    columns = torch.arange(32.0)
    assert (turned[:16].float().sum(0) * columns).sum() / turned[:16].float().sum() < 15
    heart = stamp("heart", torch.ones(1), torch.zeros(1), 32)[0]
    rows = heart.sum(1).nonzero().flatten()
    assert heart[rows[0], 15:17].max() == 0, "a heart has a notch at its top"
    assert heart[rows[-1], 15:17].min() > 0, "and a tip at its foot"


def test_no_stamp_is_cut_off_at_its_edge(every: Tensor) -> None:
    assert every.shape == (3 * 6 * 40, 32, 32)
    assert every[:, 0].max() == every[:, -1].max() == every[:, :, 0].max() == every[:, :, -1].max() == 0
    reach = (every[:, 1].amax() > 0) | (every[:, 2].amax() > 0)
    assert reach, "full-size shapes should come near the edge"


def test_edges_are_grey_and_the_rest_is_black_or_white(every: Tensor) -> None:
    grey = ((every > 0) & (every < 255)).float().mean().item()
    assert 0.02 < grey < 0.15
    assert every.max() == 255


def test_images_move_by_whole_pixels_with_x_right_and_y_down(full: Sprites) -> None:
    here, right, down = full.render(torch.tensor([[2, 3, 7, 10, 12], [2, 3, 7, 11, 12], [2, 3, 7, 10, 13]])).images[
        :, 0
    ]
    assert torch.equal(here[:, :-1], right[:, 1:])
    assert torch.equal(here[:-1], down[1:])
    ends = full.render(torch.tensor([[0, 5, 0, 0, 0], [0, 5, 0, 31, 31]])).images[:, 0]
    assert torch.equal(ends[0, :33, :33], ends[1, 31:, 31:])


def test_scale_runs_from_half_to_full(full: Sprites) -> None:
    factors = torch.tensor([[shape, scale, 3, 5, 5] for shape in range(3) for scale in range(6)])
    found = area(full.render(factors).images).view(3, 6)
    expected = torch.linspace(0.5, 1, 6, dtype=torch.float64).square().expand(3, 6)
    torch.testing.assert_close(found / found[:, -1:], expected, rtol=0.02, atol=0)


def test_the_spec_counts_the_factors_of_dsprites_before_anything_is_drawn() -> None:
    data = Sprites(SpritesOptions())
    assert data.spec.shape == (1, 64, 64)
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert math.prod(data.factor_sizes) == 737_280
    assert data.spec.class_names == SHAPES
    assert "_stamps" not in vars(data)


def test_splits_repeat_are_disjoint_and_carry_their_factors() -> None:
    data = Sprites(TINY)
    train, test = data.split("train"), data.split("test")
    assert (len(train), len(test)) == (96, 32)
    assert train.images.dtype == torch.uint8
    assert train.images.shape[1:] == data.spec.shape
    again = Sprites(TINY).split("train")
    assert torch.equal(again.images, train.images)
    assert train.factors is not None
    assert test.factors is not None
    rows = {tuple(row) for row in torch.cat([train.factors, test.factors]).tolist()}
    assert len(rows) == 128
    assert torch.equal(data.render(train.factors).images, train.images)
    assert train.labels is not None
    assert torch.equal(train.labels, train.factors[:, 0])
    for column, size in enumerate(data.factor_sizes):
        assert set(train.factors[:, column].tolist()) == set(range(size))
    other = Sprites(TINY.model_copy(update={"seed": 1})).split("train")
    assert not torch.equal(other.images, train.images)


def images_of(split: Split) -> list[bytes]:
    return [image.numpy().tobytes() for image in split.images]


@pytest.mark.parametrize(
    ("binarize", "changes"),
    [
        ("none", {"size": 32, "scales": 2, "orientations": 8, "positions": 4}),
        ("threshold", {"size": 16, "scales": 3, "orientations": 12, "positions": 4}),
        ("none", {"size": 16, "scales": 1, "orientations": 360, "positions": 2}),
    ],
)
def test_no_image_is_in_both_splits(binarize: str, changes: dict[str, int]) -> None:
    """Not pixel by pixel either: a square that is turned by a quarter is the same image as before."""
    grid = 3 * changes["scales"] * changes["orientations"] * changes["positions"] ** 2
    data = Sprites(
        SpritesOptions.model_validate({**changes, "images": grid // 2, "test_images": grid // 3, "binarize": binarize})
    )
    train, test = images_of(data.split("train")), images_of(data.split("test"))
    assert (len(train), len(test)) == (grid // 2, grid // 3)
    assert not set(train) & set(test)
    assert len(set(train)) < len(train), "the case should have images that repeat"


def test_images_repeat_exactly_where_identifiable_says_so() -> None:
    data = Sprites(SpritesOptions(images=1, test_images=1, size=16, scales=2, orientations=24, positions=3))
    grid = data.factors_at(torch.arange(math.prod(data.factor_sizes)))
    told = data.identifiable(grid)
    images, canonical = images_of(data.render(grid)), [tuple(row) for row in told.tolist()]
    assert len(set(images)) == len(set(canonical)) == len(set(zip(images, canonical, strict=True))) < len(images)
    assert images_of(data.render(told)) == images
    assert torch.equal(data.identifiable(told), told)


def test_a_square_has_a_quarter_of_the_orientations_and_an_ellipse_half(full: Sprites) -> None:
    turns = torch.arange(40)
    for shape, distinct in ((0, 10), (1, 20), (2, 40)):
        factors = torch.stack([torch.full_like(turns, value) for value in (shape, 3, 0, 5, 9)], 1)
        factors[:, 2] = turns
        assert data_orientations(full, factors) == list(range(distinct))


def data_orientations(data: Sprites, factors: Tensor) -> list[int]:
    return data.identifiable(factors)[:, 2].unique().tolist()


def test_shapes_are_as_frequent_in_either_split_as_in_the_grid() -> None:
    data = Sprites(SpritesOptions(images=4000, test_images=1500, size=16, scales=4, orientations=40, positions=6))
    for split, count in ((data.split("train"), 4000), (data.split("test"), 1500)):
        assert split.labels is not None
        # Images are dealt out whole, so that the error is that of images, of which squares have a quarter.
        assert (torch.bincount(split.labels) / count - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("test_images", range(1, 12))
def test_a_whole_grid_is_divided_as_asked(test_images: int) -> None:
    """A square of four points, two ellipses of two and four hearts of one."""
    for seed in range(5):
        options = {"size": 16, "scales": 1, "orientations": 4, "positions": 1, "seed": seed}
        data = Sprites(
            SpritesOptions.model_validate({**options, "images": 12 - test_images, "test_images": test_images})
        )
        train, test = images_of(data.split("train")), images_of(data.split("test"))
        assert (len(train), len(test)) == (12 - test_images, test_images)
        assert not set(train) & set(test)


def test_splits_that_whole_images_do_not_fill_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Sprites(SpritesOptions(images=7, test_images=5, size=16, scales=1, orientations=4, positions=1))
    monkeypatch.setattr(data, "_first", torch.arange(12) // 4 * 4)
    with pytest.raises(UsageError, match=r"test_images must be at most 4 beside 7 images, .* got 5"):
        data.split("test")


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    Sprites(TINY).split("train")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_position_of_a_small_grid_differs() -> None:
    data = Sprites(TINY)
    factors = torch.tensor([[1, 1, 0, x, y] for x in range(4) for y in range(4)])
    assert len({image.numpy().tobytes() for image in data.render(factors).images}) == 16
    alone = Sprites(SpritesOptions(images=1, test_images=1, positions=1, orientations=1, scales=1, size=16))
    assert alone.split("train").images.amax() == 255


@pytest.mark.parametrize("how", ["static", "threshold", "dynamic"])
def test_binarized_renders_are_those_of_the_test_split(how: str) -> None:
    data = Sprites(SpritesOptions.model_validate({**SpritesOptions.tiny, "binarize": how}))
    test = data.split("test")
    assert test.factors is not None
    assert set(test.images.unique().tolist()) == {0, 255}
    assert torch.equal(data.render(test.factors).images, test.images)


def test_refuses_bad_factors_and_grids_that_are_too_small() -> None:
    data = Sprites(TINY)
    with pytest.raises(UsageError, match=r"scale must be in \[0, 2\), got 2"):
        data.render(torch.tensor([[0, 2, 0, 0, 0]]))
    with pytest.raises(UsageError, match=r"factors must be int64 \[N, 5\], got torch.float32 \[1, 5\]"):
        data.render(torch.zeros(1, 5))
    with pytest.raises(UsageError, match="at most the grid's 384, got 1096"):
        Sprites(TINY.model_copy(update={"images": 1064}))
    with pytest.raises(UsageError, match="positions must be at most half the size, 8, got 9"):
        Sprites(TINY.model_copy(update={"positions": 9}))
    with pytest.raises(ValidationError, match="size"):
        SpritesOptions(size=18)
