"""Codes, prior scales and paths between codes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from genzoo.errors import UsageError
from genzoo.options import NoOptions
from genzoo.parts import latents
from genzoo.randomness import seeded
from genzoo.testing.reference import REFERENCE_MODELS, ConditionalModel, PlainModel, TwoLevelModel, reference_parts
from genzoo.types import Batch, Capability, ImageSpec

IMAGE = ImageSpec((1, 6, 5), classes=3)


def make(kind, seed: int = 0):
    with seeded(seed):
        return kind(NoOptions(), reference_parts(IMAGE)).eval()


def batch(n: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(n, *IMAGE.shape, generator=generator), torch.arange(n) % 3)


@pytest.mark.parametrize("kind", REFERENCE_MODELS)
@pytest.mark.parametrize("n", [1, 7])
def test_codes_have_one_row_an_image_and_decode_in_batches(kind, n: int):
    model = make(kind)
    codes = latents.encode(model, batch(n), chunk=3)
    assert [tuple(level.shape) for level in codes.levels] == [(n, *spec.shape) for spec in model.levels]
    assert [level.is_floating_point() for level in codes.levels] == [spec.categories is None for spec in model.levels]
    label = batch(n).label if Capability.CONDITIONAL in model.capabilities else None
    images = latents.decode_images(model, codes.levels, label, chunk=2)
    whole = latents.decode_images(model, codes.levels, label)
    assert images.shape == (n, *IMAGE.shape)
    torch.testing.assert_close(images, whole)
    assert not images.requires_grad
    assert images.min() >= 0
    assert images.max() <= 1


def test_codes_are_posterior_means_and_rates_those_of_the_estimators():
    model = make(PlainModel)
    codes = latents.encode(model, batch(8), chunk=3)
    posterior = model.encode(batch(8)).latents[0].posterior
    torch.testing.assert_close(codes.top, posterior.mean)
    mean, log_variance = posterior.mean, posterior.log_variance
    expected = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).mean(0)
    torch.testing.assert_close(codes.rates, expected)


def test_codes_of_no_image_are_refused():
    with pytest.raises(UsageError, match="at least one image"):
        latents.encode(make(PlainModel), batch(4)[:0])


def test_lower_levels_left_out_are_their_mean():
    model = make(TwoLevelModel)
    top = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    first, second = (latents.decode_images(model, [top]) for _ in range(2))
    assert torch.equal(first, second)


def test_the_scale_of_a_standard_normal_is_exact():
    scale = latents.prior_scale(make(PlainModel))
    assert torch.equal(scale.mean, torch.zeros(2))
    assert torch.equal(scale.deviation, torch.ones(2))


def test_the_scale_of_another_prior_is_estimated():
    class Mixed(PlainModel):
        def prior_of_top(self, label=None) -> Distribution:
            parts = Independent(Normal(torch.tensor([[3.0, 0.0], [5.0, 0.0]]), torch.tensor([1.0, 2.0])), 1)
            return MixtureSameFamily(Categorical(torch.ones(2)), parts)

    with seeded(0):
        scale = latents.prior_scale(make(Mixed), draws=40_000)
    torch.testing.assert_close(scale.mean, torch.tensor([4.0, 0.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(scale.deviation, torch.tensor([math.sqrt(2), 2.0]), atol=0.05, rtol=0)


def test_the_scale_of_a_conditional_prior_is_that_of_the_class():
    class Labelled(ConditionalModel):
        def prior_of_top(self, label=None) -> Distribution:
            mean = label.float()[:, None].expand(-1, 2) * 10
            return Independent(Normal(mean, torch.ones_like(mean)), 1)

    model = make(Labelled)
    with seeded(0):
        assert [round(float(latents.prior_scale(model, label).mean[0])) for label in (0, 2)] == [0, 20]
        drawn = latents.draw_prior(model, 2, torch.tensor([0, 2]))
    assert drawn.shape == (2, 2)
    assert (drawn[1] - drawn[0]).min() > 10


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 15])
def test_an_axis_is_symmetric(steps: int):
    values = latents.axis(3.0, steps)
    assert len(values) == steps
    torch.testing.assert_close(values, -values.flip(0))
    assert steps == 1 or float(values[0]) == -3.0
    assert steps % 2 == 0 or float(values[steps // 2]) == 0.0


def test_moving_along_a_dimension_keeps_the_others():
    scale = latents.Scale(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.5, 2.0]))
    start = torch.tensor([7.0, 8.0, 9.0])
    codes = latents.along(start, scale, 1, torch.tensor([-2.0, 0.0, 2.0]))
    assert codes.tolist() == [[7, 1, 9], [7, 2, 9], [7, 3, 9]]
    assert start.tolist() == [7, 8, 9]


@pytest.mark.parametrize("path", [latents.linear_path, latents.spherical_path])
@pytest.mark.parametrize("event", [(2,), (3, 2, 2)])
def test_paths_start_and_end_where_they_should(path, event):
    start, end = torch.randn(2, 4, *event, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = path(start, end, 6)
    assert points.shape == (4, 6, *event)
    torch.testing.assert_close(points[:, 0], start)
    torch.testing.assert_close(points[:, -1], end)


def test_a_spherical_path_keeps_the_norm_and_a_constant_angle():
    start, end = torch.tensor([[2.0, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    points = latents.spherical_path(start, end, 5)[0]
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 2.0, dtype=torch.float64))
    angles = torch.atan2(points[:, 1], points[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 5, dtype=torch.float64))


@pytest.mark.parametrize("end", [[2.0, 2.0], [-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
def test_a_spherical_path_between_parallel_codes_is_the_line(end: list[float]):
    start = torch.tensor([[1.0, 1.0]])
    stop = torch.tensor([end])
    torch.testing.assert_close(latents.spherical_path(start, stop, 4), latents.linear_path(start, stop, 4))


def test_one_step_is_the_start():
    assert latents.linear_path(torch.zeros(1, 2), torch.ones(1, 2), 1).tolist() == [[[0.0, 0.0]]]
