"""The `standard-normal` prior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.distributions import StandardNormal
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.options import Options
from genzoo.types import ImageSpec, LatentSpec


class StandardNormalPrior(Prior):
    r"""N(0, I) over a latent of any real shape, without parameters.

    .. math:: p(z) = \prod_j \mathcal N(z_j; 0, 1)

    Against a diagonal normal posterior the rate is the closed form, equation 17 of the report.

    Args:
        options: None.
        latent: Its shape is the event's.
        image: Not used.

    References:
        Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, appendix B.
    """

    reference: Tensor

    def __init__(self, options: Options, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        # Carries the module's dtype and device to the distribution; nothing to store in a checkpoint.
        self.register_buffer("reference", torch.zeros(()), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        return StandardNormal(self.latent.shape, dtype=self.reference.dtype, device=self.reference.device)
