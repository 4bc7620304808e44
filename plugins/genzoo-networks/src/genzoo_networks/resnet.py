"""The `resnet` network: pre-activation residual blocks at halving sides."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo.errors import UsageError
from genzoo.interfaces import Network
from genzoo.parts.activation import activation
from genzoo.types import Shape
from genzoo_networks.blocks import Attention, norm
from genzoo_networks.options import ResNetOptions
from genzoo_networks.shapes import Size, halved


class ResNet(Network):
    """Residual blocks, with a convolution of stride 2 before those of each side; the decoder is the mirror image.

    A block is normalisation, activation and convolution, twice, beside a skip that nothing touches; its last convolution
    starts at a tenth, so that a deep network begins near its skips. The side is halved once per entry of ``channels``,
    rounding up, so any side works: 28 → 14 → 7 → 4. A latent that is a map ``(D, h, w)`` is reached by halving until the
    side is ``(h, w)``. The decoder enlarges by repeating pixels, and then convolves, which leaves no checkerboard.

    Args:
        options: Channels, blocks, activation, normalisation, squeeze-excitation and sides with self-attention.

    Raises:
        UsageError: If attention is asked for at a side that is not reached, or a shape cannot be served.

    Example:
        >>> network = ResNet(ResNetOptions(channels=(16, 32), attention=(7,)))
        >>> network.encoder((1, 28, 28), (4,))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 4])
        >>> network.decoder((4,), (1, 28, 28))(torch.zeros(5, 4)).shape
        torch.Size([5, 1, 28, 28])

    References:
        He et al. 2016, *Identity Mappings in Deep Residual Networks*; Hu et al. 2018, *Squeeze-and-Excitation Networks*;
        Zhang et al. 2019, *Self-Attention Generative Adversarial Networks*, for attention at chosen sides.
    """

    options: ResNetOptions

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.encoder`."""
        image, sides = self._plan("encoder", input, output)
        widths = self.options.channels
        layers: list[nn.Module] = [nn.Conv2d(image[0], widths[0], 3, padding=1)]
        for width, wider, (old, new) in zip((widths[0], *widths), widths, itertools.pairwise(sides), strict=False):
            layers += [_down(width, wider, old, new), *self._blocks(wider, new)]
        layers += [self._norm(widths[-1]), activation(self.options.activation)]
        if len(output) == 3:
            return nn.Sequential(*layers, nn.Conv2d(widths[-1], output[0], 1))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * math.prod(sides[-1]), output[0]))

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.decoder`."""
        image, sides = self._plan("decoder", output, input)
        widths, sides = self.options.channels[::-1], sides[::-1]
        if len(input) == 3:
            layers: list[nn.Module] = [nn.Conv2d(input[0], widths[0], 1)]
        else:
            flat = nn.Linear(input[0], widths[0] * math.prod(sides[0]))
            layers = [flat, nn.Unflatten(1, (widths[0], *sides[0]))]
        for width, narrower, (old, new) in zip(
            widths, (*widths[1:], widths[-1]), itertools.pairwise(sides), strict=True
        ):
            layers += [*self._blocks(width, old), Up(width, narrower, old, new)]
        last = nn.Conv2d(widths[-1], image[0], 3, padding=1)
        return nn.Sequential(*layers, self._norm(widths[-1]), activation(self.options.activation), last)

    def _plan(self, what: str, image: Shape, latent: Shape) -> tuple[Shape, list[Size]]:
        """See `genzoo_networks.shapes.halved`; refuses attention where it would never be."""
        _, sides = halved("resnet", what, image, latent, len(self.options.channels))
        reached = {max(side) for side in sides[1:]}
        if absent := sorted(set(self.options.attention) - reached):
            raise UsageError(
                f"resnet: attention must be at sides that are reached, {', '.join(map(str, sorted(reached)))} for images of "
                f"{image[1]}×{image[2]}, got {absent[0]}.",
                "Change --network.attention or --network.channels.",
            )
        return image, sides

    def _blocks(self, width: int, side: Size) -> list[nn.Module]:
        own = self.options
        blocks: list[nn.Module] = []
        for _ in range(own.blocks):
            body = [self._norm(width), activation(own.activation), nn.Conv2d(width, width, 3, padding=1)]
            last = nn.Conv2d(width, width, 3, padding=1)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
            with torch.no_grad():
                last.weight.mul_(0.1)
            body += [self._norm(width), activation(own.activation), last]
            blocks.append(Residual(*body, *([Excitation(width)] if own.excitation else [])))
        return [*blocks, *([Attention(width)] if max(side) in own.attention else [])]

    def _norm(self, channels: int) -> nn.Module:
        match self.options.norm:
            case "batch":
                return nn.BatchNorm2d(channels)
            case "group":
                return norm(channels)
            case "none":
                return nn.Identity()


class Residual(nn.Sequential):
    """Layers beside a skip."""

    def forward(self, input: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same shape."""
        return input + super().forward(input)


class Excitation(nn.Module):
    """Squeeze-excitation: every channel times a number from 0 to 1 that is read from the means of all.

    Args:
        channels: C; a quarter of it is between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 4)
        self.gate = nn.Sequential(nn.Linear(channels, between), nn.SiLU(), nn.Linear(between, channels), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gate(image.mean((-2, -1)))[..., None, None]


class Up(nn.Module):
    """Repeats pixels until the side is the new one, and convolves.

    Args:
        channels, out: Before and after.
        old, new: Sides; nothing is repeated where they are equal.
    """

    def __init__(self, channels: int, out: int, old: Size, new: Size) -> None:
        super().__init__()
        self.side = None if old == new else new
        self.convolution = nn.Conv2d(channels, out, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.convolution(image if self.side is None else F.interpolate(image, self.side, mode="nearest"))


def _down(channels: int, out: int, old: Size, new: Size) -> nn.Module:
    """A convolution from one side to its half, rounded up, or to the same."""
    stride = (1 if old[0] == new[0] else 2, 1 if old[1] == new[1] else 2)
    return nn.Conv2d(channels, out, 3, stride, padding=1)
