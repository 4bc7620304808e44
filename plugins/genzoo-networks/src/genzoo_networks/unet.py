"""The `unet` network: a field from noisy images and a condition to images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo.errors import UsageError
from genzoo.interfaces import Network
from genzoo.types import Shape
from genzoo_networks.blocks import Attention, norm
from genzoo_networks.options import UNetOptions


class UNet(Network):
    """A small U-Net for denoisers and velocity fields; it offers a field, and neither encoder nor decoder.

    Images are folded by two (``pixel_unshuffle``), so that most of the work is done at half the side; one more halving has
    self-attention. Sides that four does not divide are padded with their edge.

    Args:
        options: Width.

    Example:
        >>> field = UNet(UNetOptions(width=16)).field((1, 28, 28), (8,))
        >>> field(torch.zeros(5, 1, 28, 28), torch.zeros(5, 8)).shape
        torch.Size([5, 1, 28, 28])

    References:
        Ronneberger et al. 2015, *U-Net*; Ho et al. 2020, *Denoising Diffusion Probabilistic Models*, appendix B.

    Differs from the papers: two resolutions, the first of them folded pixels.
    """

    offers = frozenset({"field"})
    options: UNetOptions

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.encoder`; refused."""
        raise UsageError("unet: it has no encoder, only a field.", "Choose it with --field, and a --network beside it.")

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.decoder`; refused."""
        raise UsageError("unet: it has no decoder, only a field.", "Choose it with --field, and a --network beside it.")

    def field(self, image: Shape, condition: Shape) -> nn.Module:
        """See `Network.field`; the image is ``(C, H, W)`` and the condition a vector."""
        if len(image) != 3 or len(condition) != 1:
            raise UsageError(
                f"unet: a field must be of an image (C, H, W) and a vector (D,), got {image} and {condition}.",
                "Choose --field mlp for latents that are vectors.",
            )
        return Field(image[0], condition[0], self.options.width)


class Field(nn.Module):
    """The network of `UNet`.

    Args:
        channels: C of the image.
        condition: D.
        width: Channels at half the side; twice as many at a quarter.
    """

    def __init__(self, channels: int, condition: int, width: int) -> None:
        super().__init__()
        self.condition = nn.Sequential(nn.Linear(condition, 4 * width), nn.SiLU())
        self.enter = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.fine = Residual(width, width, 4 * width)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.coarse = Residual(2 * width, 2 * width, 4 * width)
        self.attention = Attention(2 * width)
        self.coarse_again = Residual(2 * width, 2 * width, 4 * width)
        self.up = nn.Conv2d(2 * width, width, 3, padding=1)
        self.fine_again = Residual(2 * width, width, 4 * width)
        self.leave = nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, 4 * channels, 3, padding=1))

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """``[B, C, H, W]`` and ``[B, D]`` to ``[B, C, H, W]``."""
        height, width = image.shape[-2:]
        # The edge is repeated as often as needed: replicate would refuse sides that are smaller than the padding.
        rows = torch.arange(height + -height % 4, device=image.device).clamp(max=height - 1)
        columns = torch.arange(width + -width % 4, device=image.device).clamp(max=width - 1)
        padded = image[..., rows, :][..., columns] if len(rows) > height or len(columns) > width else image
        about = self.condition(condition)
        fine = self.fine(self.enter(F.pixel_unshuffle(padded, 2)), about)
        coarse = self.coarse_again(self.attention(self.coarse(self.down(fine), about)), about)
        raised = self.up(F.interpolate(coarse, scale_factor=2, mode="nearest"))
        out = self.leave(self.fine_again(torch.cat([raised, fine], 1), about))
        return F.pixel_shuffle(out, 2)[..., :height, :width]


class Residual(nn.Module):
    """Two convolutions with group normalisation, scaled and shifted by a condition, beside a skip.

    Args:
        inputs, outputs: Channels.
        condition: Size of the condition.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.norm = norm(outputs)
        self.film = nn.Linear(condition, 2 * outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[..., None, None].chunk(2, 1)
        hidden = F.silu(self.norm(self.first(image)) * (1 + scale) + shift)
        return self.skip(image) + self.second(hidden)
