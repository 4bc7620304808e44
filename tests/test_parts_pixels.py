"""Binarization and augmentation, which every image dataset shares."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from genzoo.parts.augment import random_flip, random_shift
from genzoo.parts.binarize import binarize_above_half, binarize_anew, binarize_once
from genzoo.parts.pixel_options import PixelOptions
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split


class Grey(PixelDataset):
    @property
    def stored_spec(self) -> ImageSpec:
        return ImageSpec((1, 8, 8), classes=2)

    def read(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        images = torch.randint(256, (32, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(32) % 2)


def grey(**options: object) -> Grey:
    return Grey(PixelOptions.model_validate(options))


@pytest.fixture
def images() -> torch.Tensor:
    return grey().split("train").batch().image


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_binarizing_once_has_the_right_mean_a_pixel(dtype: torch.dtype) -> None:
    count = 20_000
    levels = torch.tensor([0, 51, 102, 153, 204, 255], dtype=torch.float64) / 255
    generator = torch.Generator().manual_seed(0)
    # Equal images are drawn alike; three random pixels make these differ.
    others = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    image = torch.cat([levels.repeat(count, 1), others], 1).reshape(count, 1, 3, 3)
    stored = (image * 255).round().to(torch.uint8) if dtype == torch.uint8 else image.to(dtype)
    drawn = binarize_once(stored, seed=3)
    assert drawn.dtype == dtype
    on = 255 if dtype == torch.uint8 else 1
    assert drawn.unique().tolist() == [0, on]
    pixels = drawn.double().flatten(1)[:, :6] / on
    assert pixels.mean(0)[[0, 5]].tolist() == [0, 1]
    # Four standard errors of a proportion.
    assert pixels.mean(0).tolist() == pytest.approx(levels.tolist(), abs=4 * 0.5 / count**0.5)
    correlation = torch.corrcoef(pixels[:, 1:5].T)
    assert (correlation - torch.eye(4, dtype=torch.float64)).abs().max() < 4 / count**0.5


def test_binarizing_once_depends_on_image_and_seed_alone(images: torch.Tensor) -> None:
    state = torch.get_rng_state()
    whole = binarize_once(images)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(binarize_once(images[5:9]), whole[5:9])
    assert torch.equal(binarize_once(images.flip(0)), whole.flip(0))
    assert torch.equal(binarize_once(whole), whole)
    assert not torch.equal(binarize_once(images, seed=1), whole)
    stored = grey().split("train").images
    assert torch.equal(binarize_once(stored).float() / 255, whole)
    assert binarize_once(images[:0]).shape == (0, 1, 8, 8)


def test_binarizing_anew_differs_and_follows_the_seed(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    first, second = binarize_anew(images), binarize_anew(images)
    torch.manual_seed(0)
    assert torch.equal(binarize_anew(images), first)
    assert not torch.equal(first, second)


def test_threshold() -> None:
    assert binarize_above_half(torch.tensor([0, 127, 128, 255], dtype=torch.uint8)).tolist() == [0, 0, 255, 255]
    assert binarize_above_half(torch.tensor([0.0, 0.5, 0.51, 1.0])).tolist() == [0, 0, 1, 1]


def test_shift_moves_each_image_by_itself_and_keeps_what_stays_inside() -> None:
    image = torch.zeros(400, 2, 9, 7)
    image[:, :, 4, 3] = 1
    torch.manual_seed(0)
    moved = random_shift(image, 2)
    assert moved.shape == image.shape
    assert moved.flatten(1).sum(1).tolist() == [2.0] * 400
    places = {(int(row), int(column)) for _, row, column in moved[:, 0].nonzero()}
    assert places == {(row, column) for row in range(2, 7) for column in range(1, 6)}
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert random_shift(image, 0) is image


def test_flip_mirrors_about_half() -> None:
    image = torch.zeros(1000, 1, 2, 3)
    image[..., 0] = 1
    torch.manual_seed(0)
    flipped = random_flip(image)[:, 0, 0, 2]
    assert flipped.mean().item() == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)
    assert torch.equal(random_flip(image).sum(-1), torch.ones(1000, 1, 2))


def test_dynamic_binarization_changes_training_images_and_fixes_the_others(images: torch.Tensor) -> None:
    dataset = grey(binarize="dynamic")
    assert dataset.spec.levels == 2
    assert len(dataset.split("train").images.unique()) > 100
    assert dataset.split("test").images.unique().tolist() == [0, 255]
    assert not torch.equal(dataset.transform(images, training=True), dataset.transform(images, training=True))
    held_out = dataset.transform(images, training=False)
    assert torch.equal(held_out, dataset.transform(images, training=False))
    assert held_out.unique().tolist() == [0, 1]
    other = grey(binarize="dynamic", binarize_seed=1)
    assert not torch.equal(dataset.split("test").images, other.split("test").images)


@pytest.mark.parametrize("how", ["static", "threshold"])
def test_once_binarized_data_stays_as_it_is(how: str) -> None:
    dataset = grey(binarize=how)
    for name in dataset.splits:
        split = dataset.split(name)
        assert split.images.unique().tolist() == [0, 255]
        assert torch.equal(split.images, dataset.split(name).images)
    batch = dataset.split("train").batch().image
    assert torch.equal(dataset.transform(batch, training=True), batch)


def test_augmentation_is_for_training_alone(images: torch.Tensor) -> None:
    for options in ({"shift": 2}, {"flip": True}):
        dataset = grey(**options)
        assert dataset.spec.levels == 256
        assert torch.equal(dataset.transform(images, training=False), images)
        assert not torch.equal(dataset.transform(images, training=True), images)
    assert torch.equal(grey().transform(images, training=True), images)


def test_options_import_no_torch() -> None:
    code = "import sys, genzoo.parts.pixel_options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
