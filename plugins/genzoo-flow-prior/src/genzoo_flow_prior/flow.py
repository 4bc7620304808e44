"""The flow prior and its distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_flow_prior.coupling import AffineCoupling
from genzoo_flow_prior.options import FlowOptions

BOUND = 2.0
"""Greatest log-scale, up or down, that one coupling layer applies to a dimension."""


class FlowPrior(Prior):
    r"""N(0, I) pushed through affine coupling layers, :math:`z = f_L \circ \dots \circ f_1(u)`, learned with the model.

    .. math:: \log p(z) = \log \mathcal N(f^{-1}(z); 0, I) + \log |\det \partial f^{-1} / \partial z|

    It starts as N(0, I) exactly. Its rate is a Monte Carlo estimate, for no closed form exists.

    Args:
        options: Number of layers and their width.
        latent: The level's latents, real-valued; their event is flattened.
        image: Unused.

    References:
        Dinh et al. 2017, Density estimation using Real NVP, equations 2 and 9.

    Differs from the paper: halves alternate by parity of the dimension, and there are neither batch normalisation nor
    several scales, since a latent is a short vector.
    """

    fits: ClassVar[frozenset[str]] = frozenset({"joint", "after"})
    zero: Tensor

    def __init__(self, options: FlowOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        even = torch.arange(latent.size) % 2 == 0
        # A single dimension has no other half to depend on: its map is affine by constants.
        masks = [even if i % 2 == 0 else ~even for i in range(options.layers)] if latent.size > 1 else [~even]
        self.couplings = nn.ModuleList(AffineCoupling(mask, options.width, BOUND) for mask in masks)
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        couplings: Sequence[Any] = tuple(self.couplings)
        return FlowDistribution(couplings, self.latent.shape, self.zero)


class FlowDistribution(Distribution):
    """The distribution of z = f(u), u ~ N(0, I), batch ``[]``.

    Args:
        couplings: Layers of f, first to last.
        event_shape: Shape of one latent.
        like: A tensor with the dtype and device of the samples.
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample = True
    support = constraints.real_vector  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, couplings: Sequence[AffineCoupling], event_shape: tuple[int, ...], like: Tensor) -> None:
        self._couplings = couplings
        self._like = like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """z = f(u) of shape ``[*sample_shape, *event]``."""
        sample_shape = torch.Size(sample_shape)
        x = torch.randn(*sample_shape, self.event_shape.numel(), dtype=self._like.dtype, device=self._like.device)
        for coupling in self._couplings:
            x, _ = coupling(x)
        return x.reshape(sample_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) of ``[*, *event]``, ``[*]`` in nats."""
        leading = value.shape[: value.dim() - len(self.event_shape)]
        x = value.reshape(*leading, -1)
        log_det = torch.zeros(leading, dtype=x.dtype, device=x.device)
        for coupling in reversed(self._couplings):
            x, term = coupling.inverse(x)
            log_det = log_det + term
        return log_det - 0.5 * (x.square() + math.log(2 * math.pi)).sum(-1)
