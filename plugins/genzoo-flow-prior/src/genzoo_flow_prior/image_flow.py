"""The `image-flow` prior: RealNVP with convolutions, at several scales."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_flow_prior.options import ImageFlowOptions

BOUND = 2.0
"""Greatest log-scale, up or down, that one coupling layer applies to a number."""


class ImageFlowPrior(Prior):
    r"""N(0, I) pushed through couplings of convolutions, :math:`z = f(u)`, for latents that are images or maps.

    .. math:: \log p(z) = \log \mathcal N(f^{-1}(z); 0, I) + \log |\det \partial f^{-1} / \partial z|

    At each scale a scale and shift of each channel, couplings over a checkerboard, a squeeze of 2×2 places into four
    channels, couplings over halves of the channels; then half of the channels are done, and the rest goes on at half the
    side. The last scale is the one whose side two does not divide, or the one that ``scales`` names, and it has the
    checkerboard alone where it cannot be squeezed. It starts as N(0, I) exactly, and its log-density is exact.

    Args:
        options: Scales, couplings and width.
        latent: Real-valued latents ``(C, H, W)``.
        image: Unused.

    Raises:
        IncompatibleError: If the latents have no height and width.

    References:
        Dinh et al. 2017, Density estimation using Real NVP, sections 3.4 to 3.7; Kingma and Dhariwal 2018, Glow, section
        3.1, for the scale and shift of each channel.

    Differs from the papers: couplings have group normalisation within and no batch normalisation between; the scale and
    shift of a channel start as the identity.
    """

    fits: ClassVar[frozenset[str]] = frozenset({"joint", "after"})
    zero: Tensor

    def __init__(self, options: ImageFlowOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        if len(latent.shape) != 3:
            raise IncompatibleError(
                f"image-flow: latents must be images [C, H, W], got {list(latent.shape)}.", "Choose --prior flow."
            )
        self.flow = Scale(latent.shape, options, options.scales)
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        return ImageFlowDistribution(self.flow, self.latent.shape, self.zero)


class ImageFlowDistribution(Distribution):
    """The distribution of z = f(u), u ~ N(0, I), batch ``[]``.

    Args:
        flow: f.
        event_shape: ``(C, H, W)``.
        like: A tensor with the dtype and device of the samples.
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample = True
    support = constraints.real  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, flow: Scale, event_shape: tuple[int, ...], like: Tensor) -> None:
        self._flow, self._like = flow, like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """z = f(u) of shape ``[*sample_shape, *event]``."""
        shape = torch.Size(sample_shape)
        noise = torch.randn(shape.numel(), *self.event_shape, dtype=self._like.dtype, device=self._like.device)
        return self._flow.generate(noise).reshape(shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) of ``[*, *event]``, ``[*]`` in nats."""
        leading = value.shape[: value.dim() - len(self.event_shape)]
        u, log_det = self._flow(value.reshape(-1, *self.event_shape))
        return (log_det - 0.5 * (u.square() + math.log(2 * math.pi)).flatten(1).sum(1)).reshape(leading)


class Scale(nn.Module):
    """One scale of `ImageFlowPrior` and, within it, the next ones. Both ways keep the shape ``[N, C, H, W]``.

    Args:
        shape: ``(C, H, W)``.
        options: Couplings and their width.
        left: Scales from here on.
    """

    def __init__(self, shape: tuple[int, ...], options: ImageFlowOptions, left: int) -> None:
        super().__init__()
        channels, height, width = shape
        self._squeezes = height % 2 == 0 and width % 2 == 0
        self.affine = ChannelAffine(channels)
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        board = ((rows + columns) % 2 == 0).expand(channels, height, width)
        self.checkerboard = nn.ModuleList(
            Coupling(board if i % 2 == 0 else ~board, options.width) for i in range(options.couplings)
        )
        self.channelwise = nn.ModuleList()
        self.next: Scale | None = None
        if not self._squeezes:
            return
        inner = 4 * channels, height // 2, width // 2
        half = (torch.arange(4 * channels) < 2 * channels)[:, None, None].expand(inner)
        self.channelwise.extend(
            Coupling(half if i % 2 == 0 else ~half, options.width) for i in range(options.couplings)
        )
        if left > 1:
            self.next = Scale((2 * channels, *inner[1:]), options, left - 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u and log |det du/dz| ``[N]``."""
        z, log_det = self.affine(z)
        for coupling in self.checkerboard:
            z, term = coupling(z)
            log_det = log_det + term
        if not self._squeezes:
            return z, log_det
        z = F.pixel_unshuffle(z, 2)
        for coupling in self.channelwise:
            z, term = coupling(z)
            log_det = log_det + term
        if self.next is not None:
            done, rest = z.chunk(2, 1)
            rest, term = self.next(rest)
            z, log_det = torch.cat([done, rest], 1), log_det + term
        return F.pixel_shuffle(z, 2), log_det

    def generate(self, u: Tensor) -> Tensor:
        """z, the inverse of `forward`."""
        if self._squeezes:
            u = F.pixel_unshuffle(u, 2)
            if self.next is not None:
                done, rest = u.chunk(2, 1)
                u = torch.cat([done, self.next.generate(rest)], 1)
            for coupling in reversed(self.channelwise):
                u = coupling.generate(u)  # pyright: ignore[reportCallIssue]
            u = F.pixel_shuffle(u, 2)
        for coupling in reversed(self.checkerboard):
            u = coupling.generate(u)  # pyright: ignore[reportCallIssue]
        return self.affine.generate(u)


class ChannelAffine(nn.Module):
    """A learned scale and shift of each channel, the identity at the start.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(z + shift) · scale`` and its log-determinant ``[N]``."""
        log_det = self.log_scale.sum() * z.shape[-2] * z.shape[-1]
        return (z + self.shift) * self.log_scale.exp(), log_det.expand(len(z))

    def generate(self, u: Tensor) -> Tensor:
        """The inverse."""
        return u * (-self.log_scale).exp() - self.shift


class Coupling(nn.Module):
    r"""Shifts and scales what the mask leaves by convolutions of what it keeps.

    .. math:: u = b \odot z + (1 - b) \odot (z - t(b \odot z)) \odot e^{-s(b \odot z)}

    Args:
        mask: bool ``[C, H, W]``, b: what stays as it is.
        width: Channels within.

    References:
        Dinh et al. 2017, equation 9.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("mask", mask.clone(), persistent=False)
        channels = len(mask)
        last = nn.Conv2d(width, 2 * channels, 3, padding=1)
        # Zeros make the layer the identity when training starts.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.GroupNorm(1, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(1, width),
            nn.SiLU(),
            last,
        )

    def _scale_and_shift(self, z: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.body(torch.where(self.mask, z, 0)).chunk(2, 1)
        return torch.where(self.mask, 0, BOUND * torch.tanh(scale)), torch.where(self.mask, 0, shift)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u ``[N, C, H, W]`` and log |det du/dz| ``[N]``."""
        scale, shift = self._scale_and_shift(z)
        return (z - shift) * (-scale).exp(), -scale.flatten(1).sum(1)

    def generate(self, u: Tensor) -> Tensor:
        """z, the inverse: what the mask keeps is the same in both."""
        scale, shift = self._scale_and_shift(u)
        return u * scale.exp() + shift
