"""Lean distributions for the hot loop: a diagonal normal by mean and log-variance, and N(0, I).

torch's ``Independent(Normal)`` with generic code costs 15–21 % of a small model's step; these about half of it.
Divergences between them are registered with ``torch.distributions.kl_divergence``.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints, register_kl

_LOG_2PI = math.log(2 * math.pi)


class DiagonalNormal(Distribution):
    r"""A normal with diagonal covariance, :math:`\mathcal N(\mu, \mathrm{diag}\, e^{\ell})`.

    Args:
        mean: ``[*batch, *event]``.
        log_variance: ℓ = log σ², of the same shape.
        event_dims: How many trailing dimensions make one event.

    Example:
        >>> DiagonalNormal(torch.zeros(5, 2), torch.zeros(5, 2)).log_prob(torch.zeros(3, 5, 2)).shape
        torch.Size([3, 5])
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample = True
    support = constraints.real_vector  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, mean: Tensor, log_variance: Tensor, event_dims: int = 1) -> None:
        self._mean = mean
        self.log_variance = log_variance
        self._event_axes = tuple(range(-event_dims, 0))
        split = mean.dim() - event_dims
        super().__init__(mean.shape[:split], mean.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def mode(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp()

    @property
    def stddev(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    @property
    def factors(self) -> Normal:
        """The marginals, one normal a latent dimension: batch ``[*batch, *event]``, event ``[]``."""
        return Normal(self._mean, self.stddev, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiagonalNormal:
        shape = torch.Size(batch_shape) + self.event_shape
        return DiagonalNormal(self._mean.expand(shape), self.log_variance.expand(shape), len(self._event_axes))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        r""":math:`z = \mu + \sigma \odot \epsilon` (equation 24 of the report)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(shape, dtype=self._mean.dtype, device=self._mean.device)
        return torch.addcmul(self._mean, self.stddev, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        squared = (value - self._mean).square() * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + _LOG_2PI).sum(self._event_axes)

    def entropy(self) -> Tensor:
        return 0.5 * (self.log_variance + (1 + _LOG_2PI)).sum(self._event_axes)


class StandardNormal(DiagonalNormal):
    """N(0, I) over ``event_shape``, batch ``[]``.

    Args:
        event_shape: Shape of one latent.
        dtype, device: Of the samples.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        zeros = torch.zeros(event_shape, dtype=dtype, device=device)
        super().__init__(zeros, zeros, len(event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square() + _LOG_2PI).sum(self._event_axes)


def _per_dimension_kl(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    if isinstance(p, StandardNormal):
        return 0.5 * (q.mean.square() + q.variance - q.log_variance - 1)
    scaled = (q.variance + (q.mean - p.mean).square()) * (-p.log_variance).exp()
    return 0.5 * (scaled + p.log_variance - q.log_variance - 1)


def per_dimension_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL a latent dimension, ``[*batch, *event]``, where both factorise over dimensions; None elsewhere."""
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal):
        return _per_dimension_kl(q, p)
    q_factors, p_factors = factors(q), factors(p)
    if q_factors is None or p_factors is None:
        return None
    try:
        return torch.distributions.kl_divergence(q_factors, p_factors)
    except NotImplementedError:
        return None


def factors(distribution: Distribution) -> Distribution | None:
    """The marginals of a distribution that factorises over its event, with an empty event shape; None elsewhere."""
    if isinstance(distribution, DiagonalNormal):
        return distribution.factors
    if isinstance(distribution, Independent) and not distribution.base_dist.event_shape:
        return distribution.base_dist
    return None


def log_mass(distribution: Distribution, lower: Tensor, upper: Tensor) -> Tensor | None:
    """The log-probability of each factor's interval, summed over the event, ``[*batch]``; None where it is not known.

    It is known of a diagonal normal, of an `Independent` whose base has a ``cdf``, and of a distribution with a method
    ``log_mass(lower, upper)`` of its own.

    Args:
        distribution: With an event that factorises.
        lower, upper: ``[*batch, *event]``, infinite where the interval has no end.

    Example:
        >>> one = DiagonalNormal(torch.zeros(1), torch.zeros(1))
        >>> round(float(log_mass(one, torch.tensor([-1.0]), torch.tensor([1.0])).exp()), 4)
        0.6827
    """
    own = getattr(distribution, "log_mass", None)
    if own is not None:
        return own(lower, upper)
    marginals = factors(distribution)
    axes = tuple(range(-len(distribution.event_shape), 0))
    if isinstance(marginals, Normal):
        low, high = ((edge - marginals.loc) / marginals.scale for edge in (lower, upper))
        # Above the mean the tail is the other one, so that no difference of numbers near 1 is taken.
        low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
        below, above = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
        return (above + torch.log1p(-(below - above).exp())).sum(axes)
    try:
        return None if marginals is None else (marginals.cdf(upper) - marginals.cdf(lower)).log().sum(axes)
    except NotImplementedError:
        return None


@register_kl(DiagonalNormal, StandardNormal)
def _kl_diagonal_standard(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    """Equation 17 of the report, summed over the event."""
    return _per_dimension_kl(q, p).sum(q._event_axes)  # pyright: ignore[reportPrivateUsage]


@register_kl(DiagonalNormal, DiagonalNormal)
def _kl_diagonal_diagonal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    return _per_dimension_kl(q, p).sum(q._event_axes)  # pyright: ignore[reportPrivateUsage]
