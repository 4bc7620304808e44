"""The `gan` model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genzoo.errors import IncompatibleError
from genzoo.interfaces import LatentGenerator, Parts
from genzoo.parts.labels import append_vector, condition, condition_size
from genzoo.parts.leading import over_leading
from genzoo.types import Capability, LatentSpec
from genzoo_gan.options import GANOptions


class GAN(LatentGenerator):
    r"""A generator, :math:`x = \mathrm{sigmoid}(g(z))` with z drawn from the prior.

    Its objective makes the critic; see `genzoo_gan.adversarial.Adversarial`. There is no encoder and no likelihood, so that
    reconstructions, elbo and rate are not defined.

    Args:
        options: The number of latent dimensions, and whether it takes labels.
        parts: Its network's decoder is the generator.

    Raises:
        IncompatibleError: If it should take labels that the data has not.

    References:
        Goodfellow et al. 2014, Generative Adversarial Nets; Mirza and Osindero 2014, Conditional Generative Adversarial
        Nets.
    """

    def __init__(self, options: GANOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        if options.conditional and not self.image.labelled:
            raise IncompatibleError("gan: the dataset must have labels, got one without.", "Leave conditional off.")
        self._conditions = condition_size(self.image) if options.conditional else 0
        self.capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL}) | (
            {Capability.CONDITIONAL} if options.conditional else frozenset()
        )
        self.levels = (LatentSpec((options.latent_dim,)),)
        self.prior = parts.prior(self.levels[0])
        self.generator = parts.network.decoder((options.latent_dim + self._conditions,), self.image.shape)

    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        """See `LatentGenerator.generate`."""
        z = latents[0]
        if self._conditions:
            z = append_vector(z, condition(label, self.image, z.dtype))
        return torch.sigmoid(over_leading(self.generator, z, (self.levels[0].size + self._conditions,)))
