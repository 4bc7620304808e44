"""The `continuous-bernoulli` likelihood: a density of grey values in [0, 1] with the Bernoulli's shape."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from genzoo.interfaces import Likelihood

# Below this logit the closed forms lose digits and the series are exact to float64.
_SERIES_BELOW = 0.2


class ContinuousBernoulliFromLogits(Distribution):
    r"""Independent continuous Bernoulli pixels, by their logits.

    .. math::
        \log p(x) = \sum_i x_i \ell_i - A(\ell_i), \qquad
        A(\ell) = \log\int_0^1 e^{x\ell}\,dx = \log\frac{e^\ell - 1}{\ell}

    which is the Bernoulli's log-probability plus the log of the normaliser :math:`C = \ell / \tanh(\ell / 2)`. Near
    ℓ = 0, where the closed form is 0/0, a series of A takes over.

    Args:
        logits: ``[*, C, H, W]``.

    Example:
        >>> ContinuousBernoulliFromLogits(torch.zeros(2, 1, 1, 1)).log_prob(torch.full((1, 1, 1), 0.3))
        tensor([0., 0.])
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.independent(constraints.unit_interval, 3)

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        r"""A′(ℓ) = ½ coth(ℓ/2) − 1/ℓ + ½; not the sigmoid, which is the Bernoulli's mean."""
        near = _near_zero(self.logits)
        series = _polynomial(near, (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)) * near
        safe = _away_from_zero(self.logits)
        return 0.5 + torch.where(self.logits.abs() < _SERIES_BELOW, series, 0.5 / (safe / 2).tanh() - 1 / safe)

    @property
    def variance(self) -> Tensor:
        r"""A″(ℓ) = 1/ℓ² − 1/(4 sinh²(ℓ/2))."""
        series = _polynomial(_near_zero(self.logits), (1 / 12, -1 / 240, 1 / 6048, -1 / 172800, 1 / 5322240))
        safe = _away_from_zero(self.logits)
        closed = safe.square().reciprocal() - 0.25 / (safe / 2).sinh().square()
        return torch.where(self.logits.abs() < _SERIES_BELOW, series, closed)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ContinuousBernoulliFromLogits:
        return ContinuousBernoulliFromLogits(self.logits.expand(torch.Size(batch_shape) + self.event_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By the inverse distribution function, log(1 + u (e^ℓ − 1)) / ℓ."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
            # Of −|ℓ| and mirrored for positive logits, so that nothing overflows.
            negative = -_away_from_zero(self.logits.abs(), 1e-3)
            drawn = torch.log1p(uniform * negative.expm1()) / negative
            drawn = torch.where(self.logits.abs() < 1e-3, uniform, drawn)
            return torch.where(self.logits > 0, 1 - drawn, drawn).clamp(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.logits - log_normaliser(self.logits)).sum((-3, -2, -1))

    def log_mass(self, lower: Tensor, upper: Tensor) -> Tensor:
        r"""See `genzoo.distributions.log_mass`: :math:`a\ell + \log w + A(w\ell) - A(\ell)` for the interval [a, a + w]."""
        start, end = lower.clamp(0, 1), upper.clamp(0, 1)
        width = end - start
        inside = start * self.logits + width.log() + log_normaliser(width * self.logits) - log_normaliser(self.logits)
        return inside.sum((-3, -2, -1))

    def entropy(self) -> Tensor:
        return (log_normaliser(self.logits) - self.mean * self.logits).sum((-3, -2, -1))


def log_normaliser(logits: Tensor) -> Tensor:
    r"""A(ℓ) = log((e^ℓ − 1)/ℓ), of any shape, with gradients exact to the dtype for every finite ℓ.

    Example:
        >>> log_normaliser(torch.tensor([0.0, 1.0], dtype=torch.float64))
        tensor([0.0000, 0.5413], dtype=torch.float64)
    """
    half = _near_zero(logits) / 2
    series = _polynomial(half, (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775)) * half.square()
    size = _away_from_zero(logits.abs())
    closed = logits.relu() + (-(-size).expm1() / size).log()
    return torch.where(logits.abs() < _SERIES_BELOW, half + series, closed)


def _polynomial(value: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Σ c_k value^{2k}, by Horner's rule."""
    squared = value.square()
    total = torch.full_like(squared, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * squared + coefficient
    return total


# `torch.where` needs both of its branches finite, or the gradient of the one not taken is 0 · inf.
def _away_from_zero(value: Tensor, least: float = _SERIES_BELOW) -> Tensor:
    """The value where its size is at least ``least``, else 1."""
    return torch.where(value.abs() < least, 1.0, value)


def _near_zero(value: Tensor) -> Tensor:
    """The value where its size is below the series' limit, else 0."""
    return torch.where(value.abs() < _SERIES_BELOW, value, 0.0)


class ContinuousBernoulli(Likelihood):
    r"""p(x|z) with one continuous Bernoulli a pixel and channel: the decoder's output is the logit.

    It is what makes the ELBO of grey images a bound on a density; with `bernoulli` it is not. Being a density, its
    distortion may be negative. The image to look at is its mean, which is nearer to ½ than the sigmoid of the logit.

    Args:
        options: None.

    References:
        Loaiza-Ganem and Cunningham 2019, *The continuous Bernoulli: fixing a pervasive error in variational
        autoencoders*, equations 4 to 7.
    """

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        return ContinuousBernoulliFromLogits(raw)
