"""The precision-weighted merge of two normals, and a prior that is compared by sampling."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.distributions import DiagonalNormal


def merge(image: DiagonalNormal, above: DiagonalNormal) -> DiagonalNormal:
    r"""The product of two diagonal normals, normalised.

    .. math:: \sigma^2 = \frac{1}{\hat\sigma^{-2} + \sigma_p^{-2}}, \qquad
        \mu = \sigma^2 (\hat\mu \hat\sigma^{-2} + \mu_p \sigma_p^{-2})

    Args:
        image: What the image says, mean :math:`\hat\mu`.
        above: What the level above predicts, mean :math:`\mu_p`; the two broadcast.

    Returns:
        Batch and event of the two, broadcast.

    Example:
        >>> import torch
        >>> one = DiagonalNormal(torch.tensor([0.0]), torch.zeros(1))
        >>> both = merge(one, DiagonalNormal(torch.tensor([2.0]), torch.zeros(1)))
        >>> both.mean.item(), both.variance.item()
        (1.0, 0.5)

    References:
        Sønderby et al. 2016, Ladder Variational Autoencoders, equations 18 and 19.
    """
    # In logarithms, so that neither precision can overflow: the image's weight is σ_p² / (σ̂² + σ_p²).
    weight = torch.sigmoid(above.log_variance - image.log_variance)
    mean = above.mean + weight * (image.mean - above.mean)
    # log σ² = −log(e^{−ℓ̂} + e^{−ℓ_p}), written with softplus.
    log_variance = above.log_variance - F.softplus(above.log_variance - image.log_variance)
    return DiagonalNormal(mean, log_variance)


class Sampled(Distribution):
    """A diagonal normal without a closed-form divergence, so that a rate against it is taken at the sample.

    Bottom-up inference draws z_{l+1} from z_l. The divergence of q(z_l) from p(z_l | z_{l+1}) at fixed z_{l+1} is then not
    the expected log-ratio that the evidence lower bound has, and would not bound it.

    Args:
        normal: The distribution itself.
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample = True
    support = constraints.real_vector  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, normal: DiagonalNormal) -> None:
        self._normal = normal
        super().__init__(normal.batch_shape, normal.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._normal.mean

    @property
    def variance(self) -> Tensor:
        return self._normal.variance

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """See `DiagonalNormal.rsample`."""
        return self._normal.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of ``[*batch, *event]``, in nats."""
        return self._normal.log_prob(value)
