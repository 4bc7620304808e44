"""The numbers of an output, computed a second time and by other means than `genzoo.estimators`, which is itself on trial."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal

from genzoo.distributions import DiagonalNormal
from genzoo.types import Latent, ModelOutput


def distortion(output: ModelOutput, image: Tensor) -> Tensor:
    """−log p(x|z), ``[K, B]``, from the parameters of a Bernoulli or a normal a pixel."""
    likelihood = output.likelihood
    assert isinstance(likelihood, Independent)
    base = likelihood.base_dist
    if isinstance(base, Bernoulli):
        logits = base.logits.double()
        # softplus(l) − x l, by way of the larger exponent
        each = torch.where(logits > 0, logits, 0) + torch.log1p(torch.exp(-logits.abs())) - image.double() * logits
    else:
        assert isinstance(base, Normal)
        each = _normal(image.double(), base.loc.double(), base.scale.double().square())
    return each.flatten(2).sum(-1)


def rate(latent: Latent) -> Tensor:
    """KL(q ‖ p) in closed form, ``[K, B]`` or ``[B]``: of normals by mean and variance, of codes by their probabilities."""
    q, p = latent.posterior, latent.prior
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal):
        a, b = q.variance.double(), p.variance.double()
        gap = (q.mean.double() - p.mean.double()) ** 2
        return (0.5 * (a / b + gap / b - 1 - (a / b).log())).sum(-1)
    first, second = _probabilities(q), _probabilities(p)
    return (first * (first.log() - second.log())).sum((-1, -2))


def log_ratio(latent: Latent) -> Tensor:
    """log q(z|x) − log p(z) at the sample, ``[K, B]``, of diagonal normals."""
    q, p = latent.posterior, latent.prior
    assert isinstance(q, DiagonalNormal)
    assert isinstance(p, DiagonalNormal)
    z = latent.sample.double()
    found = _normal(z, p.mean.double(), p.variance.double()) - _normal(z, q.mean.double(), q.variance.double())
    return found.sum(-1)


def _normal(value: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """−log of a normal density."""
    return (value - mean) ** 2 / (2 * variance) + 0.5 * torch.log(2 * math.pi * variance)


def _probabilities(distribution: Distribution) -> Tensor:
    assert isinstance(distribution, Independent)
    base = distribution.base_dist
    assert isinstance(base, Categorical)
    return base.logits.double().softmax(-1)
