"""The `vae` model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.interfaces import Model, Parts
from genzoo.parts.gaussian import diagonal_normal
from genzoo.parts.leading import over_leading
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec
from genzoo_vae.options import VAEOptions


class VAE(Model):
    r"""The variational autoencoder.

    .. math:: q(z|x) = \mathcal N(\mu(x), \mathrm{diag}\,\sigma^2(x)), \qquad x \sim p(x|z), \quad z \sim p(z)

    One network puts out μ and log σ² side by side, which is the report's two linear layers in one. With the default
    parts (conv, bernoulli, standard-normal) it is the report's VAE.

    Args:
        options: The number of latent dimensions.
        parts: Network, likelihood and prior.

    References:
        Kingma and Welling 2014, *Auto-Encoding Variational Bayes*; section 3.1 of the report.
    """

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})

    def __init__(self, options: VAEOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((options.latent_dim,)),)
        self.prior = parts.prior(self.levels[0])
        channels = self.likelihood.channels(self.image)
        self.encoder = parts.network.encoder(self.image.shape, (2 * options.latent_dim,))
        self.decoder = parts.network.decoder((options.latent_dim,), (channels, *self.image.shape[1:]))

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """See `Model.encode`."""
        self.check_batch(batch)
        posterior = self._posterior_of(batch.image)
        prior = self.prior_of_top(batch.label)
        return Encoding((Latent(posterior, prior, posterior.rsample(torch.Size([samples]))),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """See `Model.decode`; there is one level, and the label has no effect."""
        return self.likelihood(over_leading(self.decoder, latents[0], self.levels[0].shape))

    def _posterior_of(self, image: Tensor) -> Distribution:
        return diagonal_normal(self.encoder(image))
