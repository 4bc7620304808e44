"""The parts that models share: Gaussian head, leading dimensions, labels, activations."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo.parts.activation import Activation, activation
from genzoo.parts.gaussian import diagonal_normal
from genzoo.parts.labels import append_planes, append_vector, one_hot
from genzoo.parts.leading import over_leading


@pytest.mark.parametrize(
    ("shape", "event_dims", "event"), [((5, 6), 1, (3,)), ((2, 5, 6), 1, (3,)), ((5, 4, 7, 7), 3, (2, 7, 7))]
)
def test_the_head_splits_mean_from_log_variance(
    shape: tuple[int, ...], event_dims: int, event: tuple[int, ...]
) -> None:
    raw = torch.randn(shape, dtype=torch.float64)
    normal = diagonal_normal(raw, event_dims)
    assert normal.event_shape == event
    assert normal.batch_shape == shape[:-event_dims]
    joined = torch.cat([normal.mean, normal.log_variance], dim=-event_dims)
    assert torch.equal(joined, raw)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64,) * 2,
    ],
)
def test_the_head_leaves_half_precision(given: torch.dtype, expected: torch.dtype) -> None:
    normal = diagonal_normal(torch.randn(5, 4).to(given))
    assert normal.rsample().dtype == expected


def test_the_head_does_not_clamp() -> None:
    raw = torch.tensor([[0.0, -60.0], [0.0, 60.0]], dtype=torch.float64, requires_grad=True)
    normal = diagonal_normal(raw)
    assert normal.log_variance.flatten().tolist() == [-60, 60]
    normal.log_variance.sum().backward()
    assert raw.grad is not None
    assert raw.grad[:, 1].tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(5, 3), ()])
def test_the_head_refuses_what_it_cannot_halve(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="raw must have an even size"):
        diagonal_normal(torch.zeros(shape))


@pytest.mark.parametrize("leading", [(), (1,), (5,), (3, 5), (2, 3, 5), (0,), (3, 0)])
def test_leading_dimensions_come_back(leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)))
    value = torch.randn(*leading, 2)
    out = over_leading(module, value, (2,))
    assert out.shape == (*leading, 3, 2, 2)
    torch.testing.assert_close(out.flatten(len(leading)), module[0](value))


def test_leading_dimensions_of_a_map() -> None:
    module = nn.Conv2d(4, 1, 3, padding=1)
    value = torch.randn(3, 5, 4, 7, 7)
    torch.testing.assert_close(over_leading(module, value, (4, 7, 7))[2], module(value[2]))


@pytest.mark.parametrize("shape", [(5, 3), (2, 1), ()])
def test_another_event_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"latent must be \[\*, 2\]"):
        over_leading(nn.Identity(), torch.zeros(shape), (2,))


def test_one_hot_is_torchs() -> None:
    label = torch.randint(0, 7, (3, 5))
    assert torch.equal(one_hot(label, 7, torch.float64), nn.functional.one_hot(label, 7).double())


@pytest.mark.parametrize(("label", "got"), [(7, 7), (-1, -1)])
def test_labels_out_of_range_are_refused(label: int, got: int) -> None:
    with pytest.raises(UsageError, match=rf"label must be in \[0, 7\), got {got}"):
        one_hot(torch.tensor([0, label]), 7)


def test_no_labels_and_labels_on_meta_are_taken() -> None:
    assert one_hot(torch.zeros(0, dtype=torch.int64), 7).shape == (0, 7)
    assert one_hot(torch.zeros(5, dtype=torch.int64, device="meta"), 7).shape == (5, 7)


def test_planes_are_constant_and_hold_the_vector() -> None:
    image, vector = torch.rand(3, 5, 1, 4, 6), torch.rand(5, 7)
    joined = append_planes(image, vector)
    assert joined.shape == (3, 5, 8, 4, 6)
    assert torch.equal(joined[:, :, :1], image)
    assert torch.equal(joined[:, :, 1:], vector[None, :, :, None, None].expand(3, 5, 7, 4, 6))


def test_a_vector_stands_behind_every_sample() -> None:
    latent, vector = torch.rand(3, 5, 2), torch.rand(5, 7)
    joined = append_vector(latent, vector)
    assert torch.equal(joined[..., :2], latent)
    assert torch.equal(joined[..., 2:], vector.expand(3, 5, 7))


def test_a_vector_takes_the_others_precision() -> None:
    assert append_vector(torch.zeros(5, 2, dtype=torch.float64), torch.ones(5, 7)).dtype == torch.float64
    assert append_planes(torch.zeros(5, 1, 4, 4, dtype=torch.bfloat16), torch.ones(5, 7)).dtype == torch.bfloat16


@pytest.mark.parametrize("own", [(4,), (1,), (3, 5, 1), (5, 3)])
def test_leading_dimensions_that_do_not_fit_are_refused(own: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="label must have a shape that"):
        append_vector(torch.zeros(3, 5, 2), torch.zeros(*own, 7))


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_activation_bends(name: Activation) -> None:
    value = torch.linspace(-3, 3, 7)
    out = activation(name)(value)
    assert out.shape == (7,)
    assert not torch.allclose(out - out[3], value * (out[-1] - out[3]) / 3)


def test_naming_an_activation_in_options_imports_no_torch() -> None:
    code = "import sys, genzoo.parts.activation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
