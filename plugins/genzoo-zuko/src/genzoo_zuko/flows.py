"""Priors by zuko's autoregressive flows, and their distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.parts.labels import labels_used, one_hot
from genzoo.types import ImageSpec, LatentSpec
from genzoo_zuko.imported import flows
from genzoo_zuko.options import AutoregressiveFlowOptions, SplineFlowOptions

MOST_GROUPS = 32
"""Dimensions up to which each is a group of its own, unless the options say otherwise."""


class AutoregressiveFlow(Prior):
    r"""N(0, I) carried to z by the inverse of transforms in which a dimension depends on earlier ones.

    .. math::
        \log p(z|c) = \log \mathcal N(f(z, c); 0, I) + \log |\det \partial f / \partial z|, \qquad
        f = f_L \circ \dots \circ f_1 \circ f_0, \qquad f_l(z, c)_i = h(z_i; \theta(z_{<i}, c))

    Here h is affine, f_0 is a learned scale and shift of each dimension, and θ is a masked network. The transforms, their
    networks and their inverses are zuko's. The order of the dimensions is reversed from one transform to the next; with
    fewer ``passes`` than dimensions it is drawn at random for each. The density is exact, and the prior starts as N(0, I).

    A conditional prior without a label is the mixture over labels with equal weights.

    Args:
        options: Number of transforms, size of their networks, groups of dimensions, and whether it uses labels.
        latent: Real-valued latents; their event is flattened.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not, or a network is too narrow for its groups.

    References:
        Papamakarios et al. 2017, Masked Autoregressive Flow for Density Estimation, equations 3 to 5.

    Differs from the paper: f_0, and no batch normalisation between transforms.
    """

    name: ClassVar[str] = "maf"
    fits: ClassVar[frozenset[str]] = frozenset({"joint", "after"})

    def __init__(self, options: AutoregressiveFlowOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.classes = labels_used(self.name, options.conditional, image)
        self.conditional = options.conditional  # pyright: ignore[reportAttributeAccessIssue]
        groups = min(options.passes or self._groups(options, latent), latent.size)
        if options.width < groups:
            raise IncompatibleError(
                f"{self.name}: width must be at least the number of groups, got {options.width} for {groups}.",
                f"Pass --prior.width {groups}, or fewer --prior.passes.",
            )
        self.shift = nn.Parameter(torch.zeros(latent.size))
        self.log_scale = nn.Parameter(torch.zeros(latent.size))
        made = self.make(
            features=latent.size,
            context=self.classes,
            transforms=options.transforms,
            randperm=groups < latent.size,
            passes=groups,
            hidden_features=[options.width] * options.depth,
        )
        self.transform = made.transform
        for each in self.transform.transforms:
            # Zeros make each transform the identity when training starts.
            last = each.hyper[-1].parameters() if hasattr(each, "hyper") else each.phi
            for parameter in last:
                nn.init.zeros_(parameter)

    @staticmethod
    def _groups(options: AutoregressiveFlowOptions, latent: LatentSpec) -> int:
        return latent.size if latent.size <= min(MOST_GROUPS, options.width) else 2

    def make(self, **settings: Any) -> Any:
        """zuko's flow of these settings."""
        return flows.MAF(**settings)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; without a label a conditional prior is the mixture over labels."""
        return FlowDistribution(self, label if self.classes else None)

    def carry(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """f(z, c) ``[*, D]`` and log |det ∂f/∂z| ``[*]``, for contexts ``[*, classes]``."""
        u, log_det = self.transform(context).call_and_ladj((z + self.shift) * self.log_scale.exp())
        return u, log_det + self.log_scale.sum()

    def invert(self, u: Tensor, context: Tensor | None) -> Tensor:
        """z ``[*, D]`` with f(z, c) = u."""
        return self.transform(context).inv(u) * (-self.log_scale).exp() - self.shift


class SplineFlow(AutoregressiveFlow):
    r"""See `AutoregressiveFlow`; h is a monotonic spline of quotients of quadratics between −5 and 5, and z_i beyond.

    References:
        Durkan et al. 2019, Neural Spline Flows, section 3.1.

    Differs from the paper: f_0 of `AutoregressiveFlow`, through which latents come to where the splines bend.
    """

    name: ClassVar[str] = "nsf"
    options: SplineFlowOptions

    def make(self, **settings: Any) -> Any:
        """See `AutoregressiveFlow.make`."""
        return flows.NSF(bins=self.options.bins, **settings)


class FlowDistribution(Distribution):
    """The distribution of an `AutoregressiveFlow`.

    Args:
        prior: The flow.
        label: int64 ``[B]``, which makes the batch ``[B]``, or None for batch ``[]``, the mixture where there are labels.
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample = True
    support = constraints.real  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: AutoregressiveFlow, label: Tensor | None) -> None:
        self._prior, self._label = prior, label
        batch = torch.Size() if label is None else label.shape
        super().__init__(batch, torch.Size(prior.latent.shape), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """z of ``[*sample_shape, *batch, *event]``."""
        leading, like, classes = torch.Size(sample_shape) + self.batch_shape, self._prior.shift, self._prior.classes
        noise = torch.randn(*leading, self.event_shape.numel(), dtype=like.dtype, device=like.device)
        label = self._label
        if classes and label is None:
            label = torch.randint(classes, leading, device=like.device)
        context = None if label is None else one_hot(label.expand(leading), classes, noise.dtype)
        return self._prior.invert(noise, context).reshape(leading + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) of ``[*, *event]``, ``[*]`` in nats."""
        leading, classes = value.shape[: value.dim() - len(self.event_shape)], self._prior.classes
        z = value.reshape(*leading, -1)
        if not classes:
            return self._of(z, None)
        if self._label is not None:
            return self._of(z, one_hot(self._label.expand(leading), classes, z.dtype))
        labels = torch.arange(classes, device=z.device).expand(*leading, classes)
        each = self._of(z[..., None, :].expand(*leading, classes, -1), one_hot(labels, classes, z.dtype))
        return each.logsumexp(-1) - math.log(classes)

    def _of(self, z: Tensor, context: Tensor | None) -> Tensor:
        u, log_det = self._prior.carry(z, context)
        return log_det - 0.5 * (u.square() + math.log(2 * math.pi)).sum(-1)
