"""From grey levels to real numbers by uniform noise, and back by rounding: for models whose latents are the images."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.interfaces.likelihood import Likelihood

MARGIN = 2.0**-11
"""The part of each grey level's interval that is left out, so that rounding errors never change the level."""

SQUEEZE = 0.05
"""The logit is taken of a number between this half and one minus it; of the unit interval itself it would be infinite."""


class Space:
    r"""A map from y in (0, 1) to z: :math:`2y - 1`, or :math:`\mathrm{logit}(\alpha/2 + (1 - \alpha) y)`.

    Args:
        logit: Which one.

    References:
        Dinh et al. 2017, Density estimation using Real NVP, section 4.1, for the logit, with α = 0.05 per side.
    """

    def __init__(self, *, logit: bool) -> None:
        self.logit = logit

    def forward(self, y: Tensor) -> Tensor:
        """z of y."""
        return torch.logit(SQUEEZE / 2 + (1 - SQUEEZE) * y) if self.logit else 2 * y - 1

    def inverse(self, z: Tensor) -> Tensor:
        """y of z; outside (0, 1) where z is no image."""
        return (z.sigmoid() - SQUEEZE / 2) / (1 - SQUEEZE) if self.logit else (z + 1) / 2

    def log_slope(self, z: Tensor) -> Tensor:
        """log dz/dy of each number."""
        if not self.logit:
            return torch.full_like(z, math.log(2))
        # dz/ds = 1 / (s (1 - s)) with s = sigmoid(z), and ds/dy = 1 - α.
        return F.softplus(z) + F.softplus(-z) + math.log(1 - SQUEEZE)


class Dequantized(Distribution):
    r"""q(z|x): each grey level spread evenly over its interval, then mapped to where the prior lives.

    .. math:: y = (x + u) / L, \quad u \sim U(0, 1), \qquad \log q(z|x) = \sum \log L - \log |dz/dy|

    For L levels. A model's :math:`\mathbb E_q[\log p(z) - \log q(z|x)]` is a lower bound on the log-probability of x.

    Args:
        grey: int64 ``[B, C, H, W]`` in [0, L).
        levels: L.
        space: Where z lives.
        dtype: Of z.

    References:
        Theis et al. 2016, A note on the evaluation of generative models, section 3.1.
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.real  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    has_rsample = True

    def __init__(self, grey: Tensor, levels: int, space: Space, dtype: torch.dtype) -> None:
        self._grey, self._levels, self._space, self._dtype = grey, levels, space, dtype
        super().__init__(grey.shape[:-3], grey.shape[-3:], validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """z, ``[*sample_shape, B, C, H, W]``."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.rand(shape, dtype=self._dtype, device=self._grey.device)
        return self._at(MARGIN / 2 + (1 - MARGIN) * noise)

    @property
    def mean(self) -> Tensor:
        """The middle of each interval."""
        return self._at(torch.full_like(self._grey, 0.5, dtype=self._dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(z|x) in nats, ``[*, B]``; −∞ where z is another image's."""
        inside = (grey_levels(self._space.inverse(value), self._levels) == self._grey).flatten(-3).all(-1)
        constant = math.log(self._levels / (1 - MARGIN)) * self.event_shape.numel()
        density = constant - self._space.log_slope(value).flatten(-3).sum(-1)
        return torch.where(inside, density, -torch.inf)

    def _at(self, u: Tensor) -> Tensor:
        return self._space.forward((self._grey + u) / self._levels)


class Rounded(Distribution):
    """p(x|z): all probability on the image that z rounds to.

    Args:
        image: ``[*, C, H, W]`` in [0, 1].
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.unit_interval  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, image: Tensor) -> None:
        self._image = image
        super().__init__(image.shape[:-3], image.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The image."""
        return self._image

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The image, ``[*sample_shape, *batch, C, H, W]``."""
        return self._image.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """0 where a value is the image up to rounding, −∞ elsewhere."""
        same = ((value - self._image).abs() < 1e-4).flatten(-3).all(-1)
        return torch.where(same, torch.zeros((), dtype=value.dtype, device=value.device), -torch.inf)


class Exact(Likelihood):
    """The likelihood that knows the image: its raw input is the image itself."""

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        return Rounded(raw)


def grey_levels(y: Tensor, levels: int) -> Tensor:
    """The grey level, int64 in [0, levels), of numbers in (0, 1); those outside take the nearest."""
    return (y * levels).floor().clamp(0, levels - 1).long()
