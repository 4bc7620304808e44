"""The `geco` loss: a constraint on the distortion, held by a weight that follows its measured value."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genzoo.interfaces import Loss
from genzoo.types import Batch, Context, ModelOutput, Report
from genzoo_losses.options import GecoOptions


class Geco(Loss):
    r"""The rate, and a weight times the distortion's excess over a target.

    .. math::
        R + \lambda\,(D - \kappa), \qquad \log \lambda \leftarrow \log \lambda + s\,\bar C / \max(|\kappa|, 1), \qquad
        \bar C \leftarrow m\,\bar C + (1 - m)(D - \kappa)

    The weight grows while the distortion is above the target κ and falls while it is below, so that training ends at the
    least rate which reaches the target.

    Args:
        options: The target, and how the weight follows.

    References:
        Rezende and Viola 2018, *Taming VAEs*, algorithm 1.

    Differs from the paper: the constraint is on the distortion in nats instead of the squared error, and relative to its
    target, so that one speed serves every number of pixels; the weight has bounds.
    """

    batch_coupled = True
    reports = (*Loss.reports, Report("weight", "Weight λ", scale="log", shown=False))
    options: GecoOptions
    log_weight: Tensor
    excess: Tensor
    begun: Tensor

    def __init__(self, options: GecoOptions) -> None:
        super().__init__(options)
        self.register_buffer("log_weight", torch.zeros(()))
        self.register_buffer("excess", torch.zeros(()))
        self.register_buffer("begun", torch.zeros(()))

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Objective.quantities`."""
        return {"target": self.options.target}

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        excess = distortion.mean() - self.quantity(context, "target")
        rate = torch.stack([level.mean() for level in rates]).sum()
        return {"rate": rate, "constraint": self.log_weight.exp().to(excess.dtype) * excess}

    @torch.no_grad()
    def after_step(self, report: Mapping[str, Tensor]) -> None:
        """See `Objective.after_step`; nothing waits for the device."""
        now = report["distortion"].to(self.excess) - self.options.target
        memory = self.options.memory * self.begun
        self.excess.copy_(memory * self.excess + (1 - memory) * now)
        self.begun.fill_(1)
        scale = max(abs(self.options.target), 1.0)
        bound = torch.log(torch.tensor(self.options.greatest)).item()
        self.log_weight.add_(self.options.speed * self.excess / scale).clamp_(-bound, bound)
