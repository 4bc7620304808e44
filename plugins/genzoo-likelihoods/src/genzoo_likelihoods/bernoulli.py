"""The `bernoulli` likelihood: one Bernoulli a pixel, from logits."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.interfaces import Likelihood


class BernoulliFromLogits(Distribution):
    r"""Independent Bernoulli pixels, a lean distribution for the hot loop.

    .. math:: \log p(x) = \sum_i x_i \ell_i - \log(1 + e^{\ell_i})

    Finite for any finite logit and for grey targets in [0, 1], where −log p is the binary cross-entropy; it is a
    probability for x in {0, 1} only.

    Args:
        logits: ``[*, C, H, W]``.

    Example:
        >>> BernoulliFromLogits(torch.zeros(2, 1, 1, 1)).log_prob(torch.ones(1, 1, 1))
        tensor([-0.6931, -0.6931])
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.independent(constraints.unit_interval, 3)

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        return self.logits.sigmoid() * (-self.logits).sigmoid()

    def expand(self, batch_shape: Any, _instance: Any = None) -> BernoulliFromLogits:
        return BernoulliFromLogits(self.logits.expand(torch.Size(batch_shape) + self.event_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(self._extended_shape(torch.Size(sample_shape))))

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.logits, value)
        total: Tensor = _LogProb.apply(logits, value).sum((-3, -2, -1))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
        return total

    def entropy(self) -> Tensor:
        return -(self.mean * self.logits + F.logsigmoid(-self.logits)).sum((-3, -2, -1))


class _LogProb(torch.autograd.Function):
    r"""log p of each pixel, :math:`x\ell - \max(\ell, 0) - \log(1 + e^{-|\ell|})`, and its gradients in one pass each.

    torch's fused cross-entropy spends nine tenths of its time on ``log1p``. Float32 has 1 + e within 6e-8 anyway, and the
    plain logarithm of it costs a sixth; float64 keeps ``log1p``.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(logits, value)
        tail = logits.abs().neg_().exp_()
        tail = tail.log1p_() if tail.dtype is torch.float64 else tail.add_(1).log_()
        return torch.mul(logits, value).sub_(logits.clamp_min(0)).sub_(tail)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        logits, value = ctx.saved_tensors
        return (
            (value - logits.sigmoid()) * gradient if ctx.needs_input_grad[0] else None,
            logits * gradient if ctx.needs_input_grad[1] else None,
        )


class Bernoulli(Likelihood):
    r"""p(x|z) with one Bernoulli a pixel and channel: the decoder's output is the logit.

    .. math:: -\log p(x|z) = -\sum_i x_i \log \mu_i + (1 - x_i) \log(1 - \mu_i), \quad \mu = \mathrm{sigmoid}(\ell)

    Grey targets are allowed, as most published MNIST figures use them; the value is then a cross-entropy and its
    least value is the pixels' own entropy (45.5 nats on MNIST's test set), not a density's. `continuous-bernoulli` is
    the density.

    Args:
        options: None.

    References:
        Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, appendix C.1; equation 30 of the report.
    """

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        return BernoulliFromLogits(raw)

    def least_distortion(self, image: Tensor) -> Tensor:
        """See `Likelihood.least_distortion`: the entropy of the grey values taken as probabilities."""
        return (torch.special.entr(image) + torch.special.entr(1 - image)).flatten(1).sum(1)

    def display(self, likelihood: Distribution) -> Tensor:
        """See `Likelihood.display`; the mean already lies in [0, 1]."""
        return likelihood.mean
