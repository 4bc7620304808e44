"""The `pixels` model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import Model, Parts
from genzoo.options import NoOptions
from genzoo.parts.dequantized import Dequantized, Exact, Space, grey_levels
from genzoo.parts.point_mass import PointMass
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec
from genzoo_pixels.options import PixelsOptions


class Pixels(Model):
    r"""A model of images whose latents are the pixels, so that its prior is all of it.

    .. math:: \log p(x) \ge \mathbb E_{q(z|x)}[\log p(z) - \log q(z|x)]

    with equality for integer grey levels. The encoder dequantizes, the decoder rounds back: the distortion is 0, the rate
    is −log p(x) in nats, or a bound on it, and the elbo its negative. A prior of real numbers sees ``[C, H, W]``; one of
    categories sees the grey levels, ``[H, W]`` for one channel and ``[C, H, W]`` for more.

    Args:
        options: Where dequantized numbers lie, and which of the two to make.
        parts: The prior; network and likelihood are not taken.

    Raises:
        IncompatibleError: If the data has no number of grey levels.

    References:
        Theis et al. 2016, A note on the evaluation of generative models, section 3.1; Dinh et al. 2017, Density
        estimation using Real NVP, section 4.1.
    """

    def __init__(self, options: PixelsOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        if self.image.levels is None:
            raise IncompatibleError(
                "pixels: the dataset must have a number of grey levels, got continuous pixels.",
                "Store images as 8-bit integers, or binarize them.",
            )
        self._levels = self.image.levels
        self._space = Space(logit=options.space == "logit")
        self._real = options.levels == "real" or (options.levels == "auto" and "real" in parts.prior_supports)
        kind = Capability.REAL_LATENT if self._real else Capability.CATEGORICAL_LATENT
        self.capabilities = frozenset({kind, Capability.ONE_LEVEL, Capability.EXACT_POSTERIOR}) | (
            frozenset() if self._real else {Capability.DETERMINISTIC_POSTERIOR}
        )
        shape = self.image.shape
        grey = shape[1:] if shape[0] == 1 else shape
        self.levels = (LatentSpec(shape) if self._real else LatentSpec(grey, categories=self._levels),)
        self.likelihood = Exact(NoOptions())
        self.prior = parts.prior(self.levels[0])

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """See `Model.encode`."""
        self.check_batch(batch)
        posterior = self.posterior(batch.image)
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), posterior.sample(torch.Size([samples]))),))

    def posterior(self, image: Tensor, label: Tensor | None = None) -> Distribution:
        """See `Model.posterior`."""
        grey = (image * (self._levels - 1)).round().long()
        if self._real:
            return Dequantized(grey, self._levels, self._space, image.dtype)
        codes = grey.reshape(-1, *self.levels[0].shape)
        return PointMass(codes, len(self.levels[0].shape), image.dtype)

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """See `Model.decode`; the label has no effect."""
        z, event = latents[0], self.levels[0].shape
        if tuple(z.shape[z.dim() - len(event) :]) != event:
            raise UsageError(f"decode: latent must be [*, {', '.join(map(str, event))}], got {list(z.shape)}.")
        grey = grey_levels(self._space.inverse(z), self._levels) if self._real else z
        image = grey.reshape(*z.shape[: z.dim() - len(event)], *self.image.shape)
        return self.likelihood(image.to(z.dtype if self._real else torch.float32) / (self._levels - 1))
