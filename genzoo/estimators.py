r"""KL, ELBO and importance-weighted bounds, computed here and nowhere else.

Everything is in nats per image, summed over pixels or latents, of shape ``[K, B]`` unless said:
distortion :math:`D = -\log p(x|z)`, rate :math:`R = \mathrm{KL}(q(z|x) \| p(z))`, elbo :math:`-(D + R)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from genzoo.distributions import factors, per_dimension_kl
from genzoo.errors import UsageError
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


MinibatchSampling = Literal["weighted", "stratified"]


@dataclass(frozen=True)
class AggregatePosterior:
    r"""Log-densities of the aggregate posterior :math:`q(z) = \frac1N \sum_n q(z|x_n)` at a latent's sample, ``[K, B]``.

    Args:
        joint: log q(z).
        product: :math:`\sum_j \log q(z_j)`, the product of its marginals.
    """

    joint: Tensor
    product: Tensor


def aggregate_posterior(
    latent: Latent, dataset_size: int, sampling: MinibatchSampling = "weighted"
) -> AggregatePosterior:
    r"""log q(z) and the log of the product of its marginals, estimated from the images of one minibatch.

    ``weighted``: :math:`\log q(z_i) \approx \log \frac{1}{NB} \sum_j q(z_i|x_j)`, low by log B where only the own image
    explains :math:`z_i` and by log N where all images explain it alike; so it is a gradient's worth, and no log-density.
    ``stratified``: the image's own term is weighted 1/N and the others so that they add to (N − 1)/N; the estimate of
    q(z) is unbiased, its log low by the spread alone.

    Args:
        latent: One level with a posterior that factorises over dimensions.
        dataset_size: N, the number of training images, at least B.
        sampling: ``"weighted"`` or ``"stratified"``.

    Raises:
        UsageError: If the posterior does not factorise, or ``dataset_size`` is below the batch size.

    References:
        Chen et al. 2018, *Isolating Sources of Disentanglement in VAEs*, equation 5, and appendices C.1 and C.2.

    Differs from the paper:
        The stratified weight of the own image is on the diagonal, as in appendix C.2; the authors' code puts it into the
        first column. A batch of one image has no other to stand for the rest: its own term is then weighted 1.
    """
    marginals = factors(latent.posterior)
    if marginals is None:
        raise UsageError(
            "aggregate_posterior: posterior must factorise over its dimensions, got "
            f"{type(latent.posterior).__name__}.",
            "Choose a model that is factorised-posterior.",
        )
    event = len(latent.posterior.event_shape)
    images = latent.sample.shape[latent.sample.dim() - event - 1]
    if dataset_size < images:
        raise UsageError(
            f"aggregate_posterior: dataset_size must be at least the batch's {images}, got {dataset_size}."
        )
    # [B, K, 1, *event] against the posterior's [B, *event] or [K, B, *event]: every sample under every image's posterior.
    samples = latent.sample.movedim(latent.sample.dim() - event - 1, 0).unsqueeze(-event - 1)
    samples = samples.float() if samples.dtype.itemsize < 4 else samples
    pairwise = marginals.log_prob(samples).flatten(3)
    weights = _minibatch_log_weights(pairwise, dataset_size, sampling)[:, None, :]
    joint = torch.logsumexp(pairwise.sum(3) + weights, 2)
    product = torch.logsumexp(pairwise + weights[..., None], 2).sum(2)
    return AggregatePosterior(joint.T, product.T)


def _minibatch_log_weights(pairwise: Tensor, dataset_size: int, sampling: MinibatchSampling) -> Tensor:
    """Log-weight of the posterior of image j (column) in the estimate at the sample of image i (row), ``[B, B]``."""
    images = len(pairwise)
    if sampling == "weighted":
        return pairwise.new_full((images, images), -math.log(dataset_size * images))
    if images == 1:
        return pairwise.new_zeros(1, 1)
    others = images - 1
    weights = pairwise.new_full((images, images), 1 / others)
    weights.fill_diagonal_(1 / dataset_size)
    row = torch.arange(images, device=pairwise.device)
    weights[row, (row + 1) % images] = 1 / others - 1 / dataset_size
    return weights.log()


def _leading(latent: Latent) -> torch.Size:
    return latent.sample.shape[: latent.sample.dim() - len(latent.posterior.event_shape)]


def unit_variances(means: Tensor, again: Tensor | None = None) -> Tensor:
    r"""How far each latent unit varies with the image, :math:`\mathrm{Var}_x(E_q[u|x])`, ``[D]``.

    Args:
        means: Posterior means ``[N, *event]`` of N ≥ 2 images.
        again: The same means from other samples, where those of a level depend on samples of another: the covariance of
            the two leaves out the noise of sampling, and may fall below 0 for a unit that does not vary.

    Example:
        >>> unit_variances(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        tensor([2., 0.])
    """
    one = means.flatten(1)
    other = one if again is None else again.flatten(1)
    return ((one - one.mean(0)) * (other - other.mean(0))).sum(0) / (len(one) - 1)


def active_units(means: Tensor, threshold: float = 0.01, again: Tensor | None = None) -> Tensor:
    """Which latent units vary with the image: Var_x(E_q[u|x]) above a threshold (section 5 of Burda et al. 2016).

    Args:
        means: Posterior means ``[N, *event]``.
        threshold: Least variance.
        again: See `unit_variances`.

    Returns:
        bool ``[D]``, one a unit.
    """
    return unit_variances(means, again) > threshold


IN_USE = 0.01
"""A latent unit is in use if more than this share of its variance comes from the image; see `unit_signals`."""


def unit_signals(means: Tensor, samples: Tensor, again: Tensor | None = None) -> Tensor:
    r"""The share of each latent unit's variance that the image explains, ``[D]`` in [0, 1].

    .. math:: \frac{\mathrm{Var}_x(E_q[u|x])}{\mathrm{Var}_{q(z)}(u)}

    with the aggregate posterior q(z) in the denominator. It stays the same when z is shifted or rescaled, which
    `unit_variances` does not: where the aggregate posterior matches N(0, I) the two agree. A unit with a constant
    posterior has 0, one without noise 1; a normal one with share s tells :math:`-\frac12 \log(1-s)` nats of the image.

    Args:
        means: Posterior means ``[N, *event]`` of N ≥ 2 images.
        samples: Posterior samples of the same images, ``[K, N, *event]``.
        again: See `unit_variances`.

    Example:
        >>> means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        >>> noise = torch.tensor([[[1.0, 1.0], [-1.0, 1.0]], [[-1.0, -1.0], [1.0, -1.0]]])
        >>> unit_signals(means, means + noise)
        tensor([0.7500, 0.0000])
    """
    total = samples.flatten(2).flatten(0, 1).var(0)
    between = unit_variances(means, again).clamp_min(0)
    return torch.where(total > 0, between / total.clamp_min(torch.finfo(total.dtype).tiny), 0).clamp_max(1)
