"""A transposed convolution of stride 2 whose forward pass on a CPU takes a faster way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

_Way = Callable[[Tensor, Tensor, Tensor], Tensor]

FEW_CHANNELS = 4
"""Up to so many output channels the four phases of the sub-pixel form are cheaper than torch's kernel."""


class Upsample2d(nn.ConvTranspose2d):
    r"""`torch.nn.ConvTranspose2d` with stride 2, padding 1 and kernels of 3 or 4, the same numbers in less time.

    On a CPU, oneDNN has no fast forward kernel for a handful of output channels, nor, under autocast to bfloat16, one of
    side 3. The first is reached by `sub_pixel`, the second by `padded`; both compute the same sums. The backward pass is
    torch's own, and so is all else: float64, other devices, compiled graphs. Parameters and state dict are those of
    `torch.nn.ConvTranspose2d`.

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
        Shi et al. 2016, *Is the deconvolution layer the same as a convolutional layer?*
    """

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__(channels, out, kernel, stride, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """See `torch.nn.ConvTranspose2d`."""
        way = None if output_size is not None or self.bias is None else self._faster_way(input)
        if way is None:
            return super().forward(input, output_size)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        result: Tensor = _Faster.apply(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype), way)  # pyright: ignore[reportUnknownMemberType, reportAssignmentType, reportOptionalMemberAccess]
        return result

    def _faster_way(self, input: Tensor) -> _Way | None:
        """`sub_pixel`, `padded`, or None where torch's own way is as fast or the only one."""
        if torch.compiler.is_compiling() or input.device.type != "cpu" or self.stride != (2, 2):
            return None
        half = torch.is_autocast_enabled("cpu")
        if torch.get_autocast_dtype("cpu") != torch.bfloat16 if half else input.dtype != torch.float32:
            return None
        if self.kernel_size == (4, 4):
            return sub_pixel if self.out_channels <= FEW_CHANNELS else None
        return padded if half and set(self.kernel_size) <= {3, 4} else None


def padded(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution (stride 2, padding 1) with kernels of side 3 taken as 4, the last row or column zero.

    Args:
        input: ``[N, C, h, w]``.
        weight: ``[C, K, kh, kw]``, each side 3 or 4.
        bias: ``[K]``.

    Returns:
        ``[N, K, H, W]`` with ``H = 2h`` for a kernel of 4 and ``2h − 1`` for one of 3.
    """
    short_h, short_w = 4 - weight.shape[2], 4 - weight.shape[3]
    whole = functional.conv_transpose2d(input, functional.pad(weight, (0, short_w, 0, short_h)), bias, 2, 1)
    last = whole.is_contiguous(memory_format=torch.channels_last)
    cut = whole[:, :, : whole.shape[2] - short_h, : whole.shape[3] - short_w]
    return cut.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


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
    result = phases.new_empty(n, out, h, 2, w, 2)
    for a in (0, 1):
        for b in (0, 1):
            result[:, :, :, a, :, b] = phases[:, a, b, :, a : a + h, b : b + w]
    return result.view(n, out, 2 * h, 2 * w).add_(bias.view(1, -1, 1, 1))


class _Faster(torch.autograd.Function):
    """The faster forward pass with torch's own backward pass."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, weight: Tensor, bias: Tensor, way: _Way) -> Tensor:
        ctx.save_for_backward(input, weight)
        return way(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        of_input, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, input, weight, [weight.shape[1]], [2, 2], [1, 1], [1, 1], True, [0, 0], 1, wanted
        )
        return of_input, of_weight, of_bias, None
