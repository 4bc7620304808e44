r"""KL, ELBO and importance-weighted bounds, computed here and nowhere else.

Everything is in nats per image, summed over pixels or latents, of shape ``[K, B]`` unless said:
distortion :math:`D = -\log p(x|z)`, rate :math:`R = \mathrm{KL}(q(z|x) \| p(z))`, elbo :math:`-(D + R)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from genzoo.distributions import per_dimension_kl
from genzoo.types import Latent, ModelOutput


@dataclass(frozen=True)
class Rate:
    """KL(q ‖ p), ``[K, B]``, and whether it is the closed form (``exact``) or a Monte Carlo estimate from the sample."""

    value: Tensor
    exact: bool


def log_ratio(latent: Latent) -> Tensor:
    """log q(z|x) − log p(z) at the latent's sample, ``[K, B]``."""
    return latent.posterior.log_prob(latent.sample) - latent.prior.log_prob(latent.sample)


def rate(latent: Latent) -> Rate:
    """KL(q(z|x) ‖ p(z)), ``[K, B]``: in closed form where torch registers one, otherwise log q − log p at the sample.

    The closed form for diagonal normals is equation 17 of the report.
    """
    leading = _leading(latent)
    try:
        value = kl_divergence(latent.posterior, latent.prior)
    except NotImplementedError:
        return Rate(log_ratio(latent).expand(leading), exact=False)
    return Rate(value.expand(leading), exact=True)


def rate_per_dimension(latent: Latent) -> Tensor | None:
    """KL a latent dimension, ``[B, *event]`` or ``[K, B, *event]``, where q and p both factorise; None elsewhere."""
    return per_dimension_kl(latent.posterior, latent.prior)


def rates(latents: Sequence[Latent]) -> tuple[Rate, ...]:
    """The rate of each level, top first."""
    return tuple(rate(latent) for latent in latents)


def distortion(output: ModelOutput, image: Tensor) -> Tensor:
    """−log p(x|z) of images ``[B, C, H, W]``, ``[K, B]``."""
    return -output.likelihood.log_prob(image)


def elbo(output: ModelOutput, image: Tensor) -> Tensor:
    """The evidence lower bound −(D + R), ``[K, B]`` (equation 4 of the report), its rate as `rate` computes it."""
    total = -distortion(output, image)
    for level in rates(output.latents):
        total = total - level.value
    return total


def log_weights(output: ModelOutput, image: Tensor) -> Tensor:
    r"""Log importance weights :math:`\log p(x|z) + \sum_l \log p(z_l) - \log q(z_l|x)`, ``[K, B]``, summed over levels."""
    total = -distortion(output, image)
    for latent in output.latents:
        total = total - log_ratio(latent)
    return total


def importance_weighted_bound(weights: Tensor, dim: int = 0) -> Tensor:
    r"""The log of the mean weight over K samples, ``[B]`` (equation 8 of Burda et al. 2016, *Importance Weighted
    Autoencoders*).

    Args:
        weights: Log-weights ``[K, B]``.
        dim: The sample dimension.
    """
    return torch.logsumexp(weights, dim) - math.log(weights.shape[dim])


def _leading(latent: Latent) -> torch.Size:
    return latent.sample.shape[: latent.sample.dim() - len(latent.posterior.event_shape)]
