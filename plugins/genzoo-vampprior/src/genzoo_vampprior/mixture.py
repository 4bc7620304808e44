"""A mixture of diagonal normals whose density costs a matrix product in place of a table of differences."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily

from genzoo.distributions import DiagonalNormal


class DiagonalNormalMixture(MixtureSameFamily):
    r"""K diagonal normals over vectors.

    With the square expanded, the density of N latents under all components is one product of matrices,

    .. math:: \log \mathcal N(z; \mu_k, e^{\ell_k}) = [z^2, z] \cdot [-\tfrac12 e^{-\ell_k}, \mu_k e^{-\ell_k}]
        - \tfrac12 \sum_j (\mu_{kj}^2 e^{-\ell_{kj}} + \ell_{kj} + \log 2\pi),

    where torch's own mixture makes a table ``[N, K, D]``. It is computed in float64, since expanding loses digits where
    a component is narrow.

    Args:
        mixture: Weights of the K components.
        components: Batch ``[K]``, event ``[D]``.

    Example:
        >>> mixture = DiagonalNormalMixture(
        ...     Categorical(logits=torch.zeros(3)), DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2))
        ... )
        >>> mixture.log_prob(torch.zeros(4, 5, 2)).shape
        torch.Size([4, 5])
    """

    def __init__(self, mixture: Categorical, components: DiagonalNormal) -> None:
        super().__init__(mixture, components, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        components = self.component_distribution
        assert isinstance(components, DiagonalNormal)
        mean, log_variance = components.mean.double(), components.log_variance.double()
        precision = (-log_variance).exp()
        z = x.double()
        constant = (mean.square() * precision + log_variance + math.log(2 * math.pi)).sum(-1)
        each = torch.cat([z.square(), z], -1) @ torch.cat([-0.5 * precision, mean * precision], -1).T - 0.5 * constant
        weights = torch.log_softmax(self.mixture_distribution.logits.double(), -1)
        return torch.logsumexp(each + weights, -1).to(x.dtype)
