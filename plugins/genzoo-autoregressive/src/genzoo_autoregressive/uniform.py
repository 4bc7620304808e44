"""The uniform distribution over codes, and the prior of that name."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.options import Options
from genzoo.types import ImageSpec, LatentSpec


def categories_of(name: str, latent: LatentSpec) -> int:
    """K of discrete latents.

    Raises:
        IncompatibleError: If the latents are real-valued.
    """
    if latent.categories is None:
        raise IncompatibleError(
            f"{name}: latent must be discrete, got real values of shape {latent.shape}.", "Choose standard-normal."
        )
    return latent.categories


def uniform_codes(latent: LatentSpec, like: Tensor) -> Distribution:
    """Every code of every position equally likely, batch ``[]``, on the device of ``like``."""
    logits = like.new_zeros(()).expand(*latent.shape, latent.categories or 1)
    return Independent(Categorical(logits=logits, validate_args=False), len(latent.shape), validate_args=False)


class UniformCodes(Prior):
    r"""Every code equally likely.

    .. math:: -\log p(z) = n \log K

    The rate of a deterministic code is then the constant n·log K, with n positions and K codes.

    Args:
        options: None.
        latent: Shape and number of the codes.
        image: Unused.

    References:
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 3.2.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"categorical"})
    anchor: Tensor

    def __init__(self, options: Options, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        categories_of("uniform-codes", latent)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        return uniform_codes(self.latent, self.anchor)
