"""The faster transposed convolution computes what torch's does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genzoo_networks.upsample import Upsample2d, padded, sub_pixel

KERNELS = [(3, 3), (4, 4), (3, 4), (4, 3)]


def pair(kernel: tuple[int, int], out: int, size: tuple[int, int]) -> tuple[nn.ConvTranspose2d, Upsample2d, Tensor]:
    torch.manual_seed(7)
    reference = nn.ConvTranspose2d(6, out, kernel, 2, padding=1)
    ours = Upsample2d(6, out, kernel, (2, 2))
    ours.load_state_dict(reference.state_dict())
    return reference, ours, torch.randn(3, 6, *size)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3)])
def test_padded_kernels_give_the_transposed_convolution_in_float64(
    kernel: tuple[int, int], size: tuple[int, int]
) -> None:
    reference, _, x = pair(kernel, 5, size)
    reference.double()
    assert reference.bias is not None
    torch.testing.assert_close(
        padded(x.double(), reference.weight, reference.bias), reference(x.double()), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3)])
def test_sub_pixels_give_the_transposed_convolution_in_float64(size: tuple[int, int]) -> None:
    reference, _, x = pair((4, 4), 3, size)
    reference.double()
    with torch.no_grad():
        assert reference.bias is not None
        got = sub_pixel(x.double(), reference.weight, reference.bias)
        torch.testing.assert_close(got, reference(x.double()), rtol=0, atol=1e-13)


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
def test_float32_forward_and_gradients_are_torchs(kernel: tuple[int, int]) -> None:
    reference, ours, x = pair(kernel, 1, (4, 5))
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


def test_the_faster_way_is_taken_where_it_gains_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr("genzoo_networks.upsample.padded", lambda *a: taken.append("padded") or padded(*a))
    monkeypatch.setattr("genzoo_networks.upsample.sub_pixel", lambda *a: taken.append("sub_pixel") or sub_pixel(*a))
    for kernel, out in [((3, 3), 5), ((4, 4), 1), ((4, 4), 5)]:
        _, ours, x = pair(kernel, out, (4, 4))
        with torch.no_grad():
            with torch.autocast("cpu", torch.bfloat16):
                ours(x)
            taken.append("float32:")
            ours(x)
            ours.double()(x.double())
            taken.append(";")
    assert "".join(taken) == "paddedfloat32:;sub_pixelfloat32:sub_pixel;float32:;"


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
