"""A transposed convolution of stride 2 that takes faster ways round on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

_Way = Callable[[Tensor, Tensor, Tensor], Tensor]

FEW_CHANNELS = 4
"""Up to so many output channels a convolution's own kernels waste more than other ways cost."""


class Upsample2d(nn.ConvTranspose2d):
    r"""`torch.nn.ConvTranspose2d` with stride 2, padding 1 and kernels of 3 or 4, the same numbers in less time.

    A transposed convolution is the gradient of a convolution by its input; its own gradients are that convolution and
    the convolution's gradient by its weights. On a CPU, torch has faster kernels for these than for a transposed
    convolution and its gradients, so they are what is computed, but for the forward pass of kernels of side 4, which
    torch does as fast. For a handful of output channels that pass has a faster way yet: `product` in float32 and
    `sub_pixel` in bfloat16. Elsewhere (float64, other devices, compiled graphs) all is torch's own. Parameters and state
    dict are those of `torch.nn.ConvTranspose2d`.

    Args:
        channels: Input channels.
        out: Output channels.
        kernel: Height and width of the kernel, 3 or 4 where the stride is 2.
        stride: Of each dimension.

    Example:
        >>> import torch
        >>> Upsample2d(8, 4, (3, 3), (2, 2))(torch.zeros(5, 8, 4, 4)).shape
        torch.Size([5, 4, 7, 7])

    References:
        Dumoulin and Visin 2016, *A guide to convolution arithmetic for deep learning*, section 4; Shi et al. 2016, *Is
        the deconvolution layer the same as a convolutional layer?*
    """

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__(channels, out, kernel, stride, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """See `torch.nn.ConvTranspose2d`."""
        way = None if output_size is not None or self.bias is None else self._faster_way(input)
        if way is None:
            return super().forward(input, output_size)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            # Once here, in place of once in every kernel, back and forth.
            input = input.contiguous(memory_format=torch.channels_last)
        result: Tensor = _Faster.apply(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype), way)  # pyright: ignore[reportUnknownMemberType, reportAssignmentType, reportOptionalMemberAccess]
        return result

    def _faster_way(self, input: Tensor) -> _Way | None:
        """How to go forward, or None where torch's own way is the only one, back and forth."""
        if torch.compiler.is_compiling() or input.device.type != "cpu" or self.stride != (2, 2):
            return None
        half = torch.is_autocast_enabled("cpu")
        if torch.get_autocast_dtype("cpu") != torch.bfloat16 if half else input.dtype != torch.float32:
            return None
        if self.kernel_size != (4, 4):
            return gradient
        if self.out_channels > FEW_CHANNELS:
            return torchs_own
        return sub_pixel if half else product


def torchs_own(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution (stride 2, padding 1) by torch's kernel; its gradients still go the faster way."""
    return functional.conv_transpose2d(input, weight, bias, 2, 1)


def gradient(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution (stride 2, padding 1) as the gradient of a convolution by its input.

    Args:
        input: ``[N, C, h, w]``.
        weight: ``[C, K, kh, kw]``, each side 3 or 4.
        bias: ``[K]``.

    Returns:
        ``[N, K, H, W]`` with ``H = 2h`` for a kernel of 4 and ``2h − 1`` for one of 3.

    References:
        Dumoulin and Visin 2016, *A guide to convolution arithmetic for deep learning*, section 4.
    """
    n, _, h, w = input.shape
    _, out, kernel_h, kernel_w = weight.shape
    shape = (n, out, 2 * h + kernel_h - 4, 2 * w + kernel_w - 4)
    last = input.is_contiguous(memory_format=torch.channels_last)
    image = torch.empty(  # its shape is all that counts
        shape,
        dtype=input.dtype,
        device=input.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
    result = _convolution_backward(input, image, weight, (True, False))[0]
    assert result is not None
    return result.add_(bias.view(1, -1, 1, 1))


def sub_pixel(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution (kernel 4, stride 2, padding 1) as four interleaved convolutions of side 2.

    Output row ``2m`` takes rows 3 and 1 of the kernel at input rows ``m − 1`` and ``m``; row ``2m + 1`` takes rows 2
    and 0 at ``m`` and ``m + 1``; columns likewise. One convolution with padding 1 computes all four phases.

    Args:
        input: ``[N, C, h, w]``.
        weight: ``[C, K, 4, 4]``.
        bias: ``[K]``.

    Returns:
        ``[N, K, 2h, 2w]``.

    References:
        Shi et al. 2016, *Real-time single image and video super-resolution using an efficient sub-pixel convolutional
        neural network*.
    """
    n, _, h, w = input.shape
    channels, out = weight.shape[:2]
    taps = weight.new_tensor([[3, 1], [2, 0]], dtype=torch.int64)
    kernel = weight[:, :, taps][..., taps]  # C, K, a, 2, b, 2
    kernel = kernel.permute(2, 4, 1, 0, 3, 5).reshape(4 * out, channels, 2, 2)
    phases = functional.conv2d(input, kernel, padding=1).view(n, 2, 2, out, h + 1, w + 1)
    result = phases.new_empty(n, out, 2 * h, 2 * w)
    for a in (0, 1):
        for b in (0, 1):
            result[:, :, a::2, b::2] = phases[:, a, b, :, a : a + h, b : b + w]
    return result.add_(bias.view(1, -1, 1, 1))


def product(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution (kernel 4, stride 2, padding 1) as one matrix product whose parts are added where they
    belong.

    The product gives what each input pixel adds to the 4×4 output pixels around it. Output rows of one parity take two
    of the kernel's rows, at neighbouring input rows; columns likewise.

    Args:
        input: ``[N, C, h, w]``.
        weight: ``[C, K, 4, 4]``.
        bias: ``[K]``.

    Returns:
        ``[N, K, 2h, 2w]``.
    """
    n, channels, h, w = input.shape
    out = weight.shape[1]
    pixels = input.permute(0, 2, 3, 1).reshape(-1, channels)  # copies nothing in channels_last
    parts = (weight.reshape(channels, -1).t() @ pixels.t()).view(
        out, 2, 2, 2, 2, n, h, w
    )  # K, i, a, j, b: taps 2i + a, 2j + b
    phases = parts.new_zeros(out, 2, 2, n, h + 1, w + 1)
    for i in (0, 1):
        for j in (0, 1):
            phases[..., i : i + h, j : j + w].add_(parts[:, i, :, j])
    result = parts.new_empty(n, out, 2 * h, 2 * w)
    for a in (0, 1):
        for b in (0, 1):
            cut = phases[:, 1 - a, 1 - b, :, a : a + h, b : b + w]
            torch.add(cut.transpose(0, 1), bias.view(1, -1, 1, 1), out=result[:, :, a::2, b::2])
    return result


class _Faster(torch.autograd.Function):
    """A faster way forward, and its gradients: a convolution, and that convolution's gradient by its weights."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, weight: Tensor, bias: Tensor, way: _Way) -> Tensor:
        ctx.save_for_backward(input, weight)
        return way(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, weight = ctx.saved_tensors
        of_input, of_weight, of_bias, _ = ctx.needs_input_grad
        if gradient.shape[1] == 1 and input.is_contiguous(memory_format=torch.channels_last):
            gradient = gradient.contiguous().view(-1, *gradient.shape[2:], 1).permute(0, 3, 1, 2)
        return (
            functional.conv2d(gradient, weight, None, 2, 1) if of_input else None,
            _convolution_backward(input, gradient, weight, (False, True))[1] if of_weight else None,
            gradient.sum((0, 2, 3)) if of_bias else None,
            None,
        )


def _convolution_backward(
    gradient: Tensor, input: Tensor, weight: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients by input and weight of a convolution with stride 2 and padding 1, where they are wanted."""
    of_input, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, input, weight, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [*wanted, False]
    )
    return of_input, of_weight
