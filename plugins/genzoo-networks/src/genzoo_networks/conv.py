"""The `conv` network: strided convolutions down, transposed ones up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import nn

from genzoo.interfaces import Network
from genzoo.parts.activation import activation
from genzoo.types import Shape
from genzoo_networks.options import ConvOptions
from genzoo_networks.shapes import Size, halved
from genzoo_networks.upsample import Upsample2d


class Conv(Network):
    """Convolutions of stride 2, each halving the side (rounding up), and their mirror image.

    An even side is halved by a 4×4 kernel, an odd one by a 3×3 kernel, with padding 1; so 28 → 14 → 7 → 4 with kernels
    4, 4, 3, and a 1×28×28 image gives exactly tables 1 and 2 of the report. A vector is reached through a flatten and
    a linear layer. A map of features ``(D, h, w)`` is reached by halving until the side is ``(h, w)``; the remaining
    channels are 3×3 convolutions of stride 1, and a 1×1 convolution ends it.

    Batch normalisation makes the images of a training batch depend on each other, and wants more than one value a
    channel: no batch of one image where the map has shrunk to 1×1. Group normalisation does neither.

    The weights start as Glorot and Bengio have them. With torch's own start the biases are as large as the signals, and
    in the first epoch of a two-dimensional VAE between a third and nine tenths of the second convolution's channels die,
    never to fire again; how many is left to the seed, and decides how good the run can get.

    Args:
        options: Channels, dense layers, activation, normalisation and start of the weights.

    Example:
        >>> import torch
        >>> network = Conv(ConvOptions())
        >>> network.encoder((1, 28, 28), (4,))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 4])
        >>> network.decoder((16, 7, 7), (1, 28, 28))(torch.zeros(5, 16, 7, 7)).shape
        torch.Size([5, 1, 28, 28])

    References:
        Le Trung et al. 2026, tables 1 and 2; Glorot and Bengio 2010, *Understanding the difficulty of training deep
        feedforward neural networks*, equation 16.
    """

    options: ConvOptions

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.encoder`."""
        image, sides = halved("conv", "encoder", input, output, len(self.options.channels))
        widths = (image[0], *self.options.channels)
        layers: list[nn.Module] = []
        for i, (old, new) in enumerate(itertools.pairwise(sides)):
            layers += [_down(widths[i], widths[i + 1], old, new), *self._norm(widths[i + 1]), self._activation()]
        if len(output) == 3:
            return self._started(nn.Sequential(*layers, nn.Conv2d(widths[-1], output[0], 1)))
        flat = widths[-1] * math.prod(sides[-1])
        return self._started(
            nn.Sequential(*layers, nn.Flatten(), *self._dense((flat, *self.options.hidden)), self._head(flat, output))
        )

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.decoder`."""
        image, sides = halved("conv", "decoder", output, input, len(self.options.channels))
        sides = sides[::-1]
        widths = (*self.options.channels[::-1], image[0])
        layers: list[nn.Module] = []
        if len(input) == 3:
            layers += [nn.Conv2d(input[0], widths[0], 1), self._activation()]
        else:
            flat = widths[0] * math.prod(sides[0])
            layers += [
                *self._dense((input[0], *self.options.hidden[::-1], flat)),
                nn.Unflatten(1, (widths[0], *sides[0])),
            ]
        last = len(sides) - 2
        for i, (old, new) in enumerate(itertools.pairwise(sides)):
            layers.append(_up(widths[i], widths[i + 1], old, new))
            if i < last:
                layers += [*self._norm(widths[i + 1]), self._activation()]
        return self._started(nn.Sequential(*layers))

    def _dense(self, widths: Sequence[int]) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for old, new in itertools.pairwise(widths):
            layers += [nn.Linear(old, new), self._activation()]
        return layers

    def _head(self, flat: int, output: Shape) -> nn.Linear:
        return nn.Linear(self.options.hidden[-1] if self.options.hidden else flat, output[0])

    def _activation(self) -> nn.Module:
        module = activation(self.options.activation)
        if isinstance(module, nn.ReLU):
            # What comes before is read by nothing else, and a pass over memory less is an eighth of an evaluation.
            module.inplace = True
        return module

    def _started(self, body: nn.Sequential) -> nn.Sequential:
        """The body with its weights as ``initialisation`` has them: by He, the last layer, which no activation follows,
        half the variance of the others."""
        start = self.options.initialisation
        layers = [m for m in body if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
        for layer in layers if start != "torch" else ():
            if start == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            else:
                gain = 1 if layer is layers[-1] else 2
                nn.init.normal_(layer.weight, std=math.sqrt(gain / _fan_in(layer)))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        return body

    def _norm(self, channels: int) -> list[nn.Module]:
        match self.options.norm:
            case "batch":
                return [nn.BatchNorm2d(channels)]
            case "group":
                return [nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)]
            case "none":
                return []


def _kernel(large: int, small: int) -> tuple[int, int]:
    """Kernel and stride, with padding 1, between two sides, of which the small is the large or its half rounded up."""
    if small == large and large > 1:
        return 3, 1
    return (3, 2) if large % 2 else (4, 2)


def _down(channels: int, out: int, old: Size, new: Size) -> nn.Conv2d:
    (kernel_h, stride_h), (kernel_w, stride_w) = _kernel(old[0], new[0]), _kernel(old[1], new[1])
    return nn.Conv2d(channels, out, (kernel_h, kernel_w), (stride_h, stride_w), padding=1)


def _up(channels: int, out: int, old: Size, new: Size) -> nn.Module:
    (kernel_h, stride_h), (kernel_w, stride_w) = _kernel(new[0], old[0]), _kernel(new[1], old[1])
    if (stride_h, stride_w) == (1, 1):
        return nn.Conv2d(channels, out, (kernel_h, kernel_w), padding=1)
    return Upsample2d(channels, out, (kernel_h, kernel_w), (stride_h, stride_w))


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many products an output sums, on average; a transposed convolution of stride s spreads its kernel over s²."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    taps = layer.in_channels * math.prod(layer.kernel_size)
    return taps / math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else taps
