"""The `discretised-logistic` likelihood: the probability of each grey level, from a logistic density."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.nn import functional

from genzoo.interfaces import Likelihood
from genzoo.types import ImageSpec
from genzoo_discretised_logistic.options import DiscretisedLogisticOptions


class DiscretisedLogistic(Likelihood):
    r"""A logistic density with the mass of each grey level's interval, and the two tails given to black and white.

    .. math:: P(x_i) = \sigma\bigl((x_i + h - \mu_i) / s_i\bigr) - \sigma\bigl((x_i - h - \mu_i) / s_i\bigr),
        \qquad h = \tfrac{1}{2(L - 1)}

    The decoder gives :math:`\mu` and :math:`\log s`, two channels for each of the image's.

    Args:
        options: The number L of grey levels, and the least log-scale.

    References:
        Salimans et al. 2017, *PixelCNN++*, equation 2; here with one component.
    """

    def __init__(self, options: DiscretisedLogisticOptions) -> None:
        super().__init__(options)
        self._levels = options.levels
        self._floor = options.floor

    def channels(self, image: ImageSpec) -> int:
        """See `Likelihood.channels`."""
        return 2 * image.channels

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        mean, log_scale = raw.chunk(2, -3)
        log_scale = self._floor + functional.softplus(log_scale - self._floor)
        return Independent(Levels(mean, log_scale.clamp(max=7), self._levels), 3, validate_args=False)


class Levels(Distribution):
    """Grey levels of one pixel: a logistic density, summed over the interval of each.

    Args:
        mean, log_scale: Of the density, of one shape.
        levels: How many grey levels there are.
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.unit_interval  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, mean: Tensor, log_scale: Tensor, levels: int) -> None:
        self._mean, self._scale = mean, log_scale.exp()
        self._levels = levels
        super().__init__(mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log of the mass of the level nearest to each value."""
        half = 0.5 / (self._levels - 1)
        level = (value * (self._levels - 1)).round() / (self._levels - 1)
        above = (level + half - self._mean) / self._scale
        below = (level - half - self._mean) / self._scale
        black, white = functional.logsigmoid(above), functional.logsigmoid(-below)
        # σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b − a}), which loses no digits in the tails
        within = black + white + torch.log(-torch.expm1(below - above))
        return torch.where(level <= 0, black, torch.where(level >= 1, white, within))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """A draw of the density, at the level nearest to it."""
        shape = self._extended_shape(sample_shape)
        uniform = torch.rand(shape, dtype=self._mean.dtype, device=self._mean.device).clamp(1e-6, 1 - 1e-6)
        drawn = (self._mean + self._scale * uniform.logit()).clamp(0, 1)
        return (drawn * (self._levels - 1)).round() / (self._levels - 1)

    @property
    def mean(self) -> Tensor:
        """The mean level: each level's mass times its value, which is what the tails leave of µ."""
        edges = (torch.arange(self._levels - 1, device=self._mean.device) + 0.5) / (self._levels - 1)
        # E[x] = Σ P(x > edge) / (L − 1)
        total = torch.zeros_like(self._mean)
        for edge in edges.to(self._mean.dtype).split(16):
            total = total + torch.sigmoid((self._mean[..., None] - edge) / self._scale[..., None]).sum(-1)
        return total / (self._levels - 1)
