"""The `mixture` prior: K diagonal normals, learned with the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_priors.options import MixtureOptions


class MixturePrior(Prior):
    r"""A mixture of K diagonal normals with learned weights, means and variances.

    .. math:: p(z) = \sum_k \pi_k \, \mathcal N(z; m_k, \mathrm{diag}\,s_k^2)

    The rate has no closed form against it and is the Monte Carlo estimate log q(z|x) − log p(z). Means start at random
    with standard deviation ``spread``, variances at 1, weights equal.

    Args:
        options: Number of components and the spread of their means.
        latent: Shape of the level.
        image: Not used.

    References:
        Tomczak and Welling 2018, *VAE with a VampPrior*, section 3, the mixture of Gaussians that it is compared with.
    """

    fits = frozenset({"joint", "after"})
    options: MixtureOptions

    def __init__(self, options: MixtureOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        shape = (options.components, *latent.shape)
        self.logits = nn.Parameter(torch.zeros(options.components))
        self.mean = nn.Parameter(options.spread * torch.randn(shape))
        self.log_variance = nn.Parameter(torch.zeros(shape))

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        weights = Categorical(logits=self.logits, validate_args=False)
        normals = DiagonalNormal(self.mean, self.log_variance, len(self.latent.shape))
        return MixtureSameFamily(weights, normals, validate_args=False)
