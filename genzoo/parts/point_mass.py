"""A posterior that puts all its mass on one code per position."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl


class PointMass(Distribution):
    r"""All probability on one value, :math:`q(z|x) = \mathbb 1[z = c(x)]`.

    Its entropy is 0, so its divergence from any p is :math:`-\log p(c)`, exactly. With a uniform p over K codes that is
    log K per code.

    Args:
        codes: c, int64 ``[*batch, *event]``.
        event_dims: How many trailing dimensions make one event.
        dtype: Of log-probabilities and the entropy.

    Example:
        >>> q = PointMass(torch.tensor([[1, 2], [0, 0]]), 1)
        >>> q.log_prob(torch.tensor([[1, 2], [0, 1]]))
        tensor([0., -inf])
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.nonnegative_integer  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, codes: Tensor, event_dims: int, dtype: torch.dtype = torch.float32) -> None:
        self.codes = codes
        self.dtype = dtype
        self._event_axes = tuple(range(-event_dims, 0))
        split = codes.dim() - event_dims
        super().__init__(codes.shape[:split], codes.shape[split:], validate_args=False)

    @property
    def mode(self) -> Tensor:
        return self.codes

    def expand(self, batch_shape: Any, _instance: Any = None) -> PointMass:
        codes = self.codes.expand(torch.Size(batch_shape) + self.event_shape)
        return PointMass(codes, len(self._event_axes), self.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The codes, ``[*sample_shape, *batch, *event]``."""
        return self.codes.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """0 where a value is the codes, −∞ elsewhere."""
        same = (value == self.codes).all(self._event_axes)
        certain = torch.zeros((), dtype=self.dtype, device=same.device)
        return torch.where(same, certain, -torch.inf)

    def entropy(self) -> Tensor:
        return torch.zeros(self.batch_shape, dtype=self.dtype, device=self.codes.device)


@register_kl(PointMass, Distribution)
def _kl_point_mass(q: PointMass, p: Distribution) -> Tensor:
    return -p.log_prob(q.codes)
