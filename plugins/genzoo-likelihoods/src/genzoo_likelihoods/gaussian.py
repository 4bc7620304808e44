"""The `gaussian` likelihood: one normal a pixel, with a fixed or learned scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Likelihood
from genzoo.types import ImageSpec
from genzoo_likelihoods.options import GaussianOptions


class Gaussian(Likelihood):
    r"""p(x|z) with one normal a pixel and channel, all constants kept.

    .. math:: -\log p(x|z) = \sum_i \frac{(x_i - \mu_i)^2}{2\sigma^2} + \log\sigma + \tfrac12\log 2\pi

    σ is ``scale`` (``learn="none"``), one parameter (``"global"``), or a second half of the decoder's channels
    (``"pixel"``). A learned variance is :math:`\sigma^2 = \mathrm{floor}^2 + e^{\ell}`, which has a gradient everywhere
    and keeps the density from growing without bound on constant pixels; it starts at ``scale``.

    Pixels are in [0, 1], so σ is in units of the full range, and nats are those of a density: they may be negative and
    do not compare with a discrete likelihood's.

    Args:
        options: The scale, whether it is learned, and its floor.

    References:
        Rybkin et al. 2021, *Simple and Effective VAE Training with Calibrated Decoders*, section 3.
    """

    options: GaussianOptions

    def __init__(self, options: GaussianOptions) -> None:
        super().__init__(options)
        if options.learn == "global":
            self.raw_log_variance = nn.Parameter(torch.tensor(self._start))

    @property
    def _start(self) -> float:
        """The ℓ at which a learned scale is ``scale``."""
        return math.log(self.options.scale**2 - self.options.floor**2)

    def channels(self, image: ImageSpec) -> int:
        """See `Likelihood.channels`: means, and log-variances where there is one a pixel."""
        return image.channels * (2 if self.options.learn == "pixel" else 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        match self.options.learn:
            case "pixel":
                mean, offset = raw.chunk(2, dim=-3)
                log_variance = self._above_floor(offset + self._start)
            case "global":
                mean = raw
                log_variance = self._above_floor(self.raw_log_variance.to(raw.dtype)).expand_as(raw)
            case "none":
                mean = raw
                log_variance = torch.full_like(raw[..., :1, :1, :1], 2 * math.log(self.options.scale)).expand_as(raw)
        return DiagonalNormal(mean, log_variance, event_dims=3)

    def _above_floor(self, log_variance: Tensor) -> Tensor:
        return torch.logaddexp(log_variance, torch.full_like(log_variance, 2 * math.log(self.options.floor)))
