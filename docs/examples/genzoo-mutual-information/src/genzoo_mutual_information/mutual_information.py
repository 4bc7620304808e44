"""The `mutual-information` metric: how many nats the code says about which image it is of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch

from genzoo.interfaces import Metric, RunView
from genzoo.types import Capability
from genzoo_mutual_information.options import MutualInformationOptions


class MutualInformation(Metric):
    r"""The part of the rate that is information about the image; what remains is the distance of q(z) from the prior.

    .. math:: I(x; z) = \tfrac1N \sum_n \Bigl( \log q(z_n|x_n) - \log \tfrac1N \sum_m q(z_n|x_m) \Bigr)
        \le \log N, \qquad z_n \sim q(z|x_n)

    Args:
        options: How many images N.

    References:
        Hoffman and Johnson 2016, *ELBO surgery*, equation 5.
    """

    requires: ClassVar[frozenset[str]] = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    direction: ClassVar[Literal["higher", "lower"] | None] = None
    unit: ClassVar[str] = "nats"

    def __init__(self, options: MutualInformationOptions) -> None:
        super().__init__(options)
        self._images = options.images

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return f"{self._images} test images at random, one posterior sample per image, at most log of their number"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        (latent,) = run.model.encode(run.shuffled(self._images)).latents
        z, q = latent.sample[0], latent.posterior
        # One row per sample: its density under the posterior of every image.
        each = torch.stack([q.log_prob(code.expand_as(z)) for code in z])
        own = each.diagonal().mean()
        mixture = each.logsumexp(1).mean() - math.log(len(z))
        return {"": float(own - mixture), "most": math.log(len(z))}
