"""The faster transposed convolution computes what torch's does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genzoo_networks import upsample
from genzoo_networks.upsample import Upsample2d, gradient, product, sub_pixel, torchs_own

KERNELS = [(3, 3), (4, 4), (3, 4), (4, 3)]


def pair(kernel: tuple[int, int], out: int, size: tuple[int, int]) -> tuple[nn.ConvTranspose2d, Upsample2d, Tensor]:
    torch.manual_seed(7)
    reference = nn.ConvTranspose2d(6, out, kernel, 2, padding=1)
    ours = Upsample2d(6, out, kernel, (2, 2))
    ours.load_state_dict(reference.state_dict())
    return reference, ours, torch.randn(3, 6, *size)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("way", [gradient, sub_pixel, product, torchs_own])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3)])
def test_every_way_gives_the_transposed_convolution_and_its_gradients_in_float64(
    way: Callable[[Tensor, Tensor, Tensor], Tensor], kernel: tuple[int, int], size: tuple[int, int], last: bool
) -> None:
    if way in {sub_pixel, product} and kernel != (4, 4):
        pytest.skip("for kernels of 4 alone")
    reference, _, x = pair(kernel, 3, size)
    reference.double()
    assert reference.bias is not None
    wanted = [x.double().requires_grad_(), reference.weight, reference.bias]
    expected = reference(wanted[0])
    cotangent = torch.randn_like(expected)
    given = [tensor.detach().clone().requires_grad_() for tensor in wanted]
    if last:
        given[0] = given[0].detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    got = upsample._Faster.apply(*given, way)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    pairs = zip(
        torch.autograd.grad(got, given, cotangent), torch.autograd.grad(expected, wanted, cotangent), strict=True
    )
    for ours, torchs in pairs:
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("out", [1, 5])
def test_bfloat16_forward_and_gradients_are_torchs_within_rounding(kernel: tuple[int, int], out: int) -> None:
    reference, ours, x = pair(kernel, out, (4, 5))
    seen: list[tuple[Tensor, ...]] = []
    for layer in (reference, ours):
        image = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            result = layer(image)
        assert result.dtype is torch.bfloat16
        result.float().square().mean().backward()
        assert image.grad is not None
        assert layer.weight.grad is not None
        assert layer.bias is not None
        assert layer.bias.grad is not None
        seen.append((result.float(), image.grad, layer.weight.grad, layer.bias.grad))
    for expected, got in zip(*seen, strict=True):
        assert got.dtype is torch.float32
        torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("out", [1, 5])
def test_float32_forward_and_gradients_are_torchs(kernel: tuple[int, int], out: int) -> None:
    reference, ours, x = pair(kernel, out, (4, 5))
    seen: list[tuple[Tensor, ...]] = []
    for layer in (reference, ours):
        image = x.clone().requires_grad_()
        result = layer(image)
        result.square().mean().backward()
        assert image.grad is not None
        assert layer.weight.grad is not None
        seen.append((result, image.grad, layer.weight.grad))
    for expected, got in zip(*seen, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("kernel", "out", "half", "whole"),
    [((3, 3), 5, "gradient", "gradient"), ((4, 4), 1, "sub_pixel", "product"), ((4, 4), 5, "torchs_own", "torchs_own")],
)
def test_each_precision_takes_the_way_that_gains_and_float64_none(
    monkeypatch: pytest.MonkeyPatch, kernel: tuple[int, int], out: int, half: str, whole: str
) -> None:
    taken: list[str] = []
    for way in (gradient, sub_pixel, product, torchs_own):
        monkeypatch.setattr(upsample, way.__name__, lambda *a, way=way: taken.append(way.__name__) or way(*a))
    _, ours, x = pair(kernel, out, (4, 4))
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            ours(x)
        ours(x)
        ours.double()(x.double())
    assert taken == [half, whole]


def test_only_the_gradients_asked_for_are_computed() -> None:
    _, ours, x = pair((3, 3), 5, (4, 4))
    ours.weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        ours(x).sum().backward()
    assert ours.weight.grad is None
    assert ours.bias is not None
    assert ours.bias.grad is not None


def test_a_bad_output_size_is_torchs_error_and_a_good_one_is_kept() -> None:
    _, ours, x = pair((3, 3), 5, (4, 4))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x, output_size=[8, 8]).shape[2:] == (8, 8)
