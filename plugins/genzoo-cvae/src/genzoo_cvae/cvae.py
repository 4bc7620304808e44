"""The `cvae` model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Model, Parts
from genzoo.parts.gaussian import diagonal_normal
from genzoo.parts.labels import append_planes, append_vector, condition, condition_size
from genzoo.parts.leading import over_leading
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec
from genzoo_cvae.options import CVAEOptions


class CVAE(Model):
    r"""The conditional variational autoencoder.

    .. math:: q(z|x,c) = \mathcal N(\mu(x,c), \mathrm{diag}\,\sigma^2(x,c)), \qquad x \sim p(x|z,c), \quad z \sim p(z)

    The label's one-hot vector, or its vector of conditions, is spread over one plane per number beside the image, and stands
    behind z for the decoder.
    With the default standard-normal prior p(z) does not know the class, so that z is left with style (equations 27 to
    29 of the report).

    Args:
        options: The number of latent dimensions.
        parts: Network, likelihood and prior; the images must have labels.

    Raises:
        IncompatibleError: If the dataset has no labels.

    References:
        Sohn et al. 2015, *Learning Structured Output Representation using Deep Conditional Generative Models*,
        equation 4; section 3.2 of the report.

    Differs from the paper:
        Sohn et al. learn p(z|x) of the condition; here, as in the report, the prior is the same for all classes.
    """

    capabilities = frozenset(
        {
            Capability.REAL_LATENT,
            Capability.ONE_LEVEL,
            Capability.FACTORISED_POSTERIOR,
            Capability.CONDITIONAL,
        }
    )

    def __init__(self, options: CVAEOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        if not self.image.labelled:
            raise IncompatibleError(
                "cvae: dataset must have labels, got one without.", "Choose a labelled dataset or the model vae."
            )
        self.conditions = condition_size(self.image)
        self.levels = (LatentSpec((options.latent_dim,)),)
        self.prior = parts.prior(self.levels[0])
        channels, *sides = self.image.shape
        self.encoder = parts.network.encoder((channels + self.conditions, *sides), (2 * options.latent_dim,))
        self.decoder = parts.network.decoder(
            (options.latent_dim + self.conditions,), (self.likelihood.channels(self.image), *sides)
        )

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """See `Model.encode`; the batch must have labels."""
        self.check_batch(batch)
        condition = self._condition(batch.label)
        posterior = diagonal_normal(self.encoder(append_planes(batch.image, condition)))
        prior = self.prior_of_top(batch.label)
        return Encoding((Latent(posterior, prior, posterior.rsample(torch.Size([samples]))),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """See `Model.decode`; labels ``[B]`` serve every sample of ``[K, B, d]``."""
        conditioned = append_vector(latents[0], self._condition(label))
        return self.likelihood(over_leading(self.decoder, conditioned, (self.levels[0].size + self.conditions,)))

    def _condition(self, label: Tensor | None) -> Tensor:
        return condition(label, self.image)

    def _posterior_of(self, image: Tensor) -> Distribution:
        # A prior made of pseudo-inputs has no label for them: every class, or condition, weighs the same.
        unlabelled = image.new_full((image.shape[0], self.conditions), 1 / self.conditions)
        return diagonal_normal(self.encoder(append_planes(image, unlabelled)))
