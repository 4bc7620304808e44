"""The `geco` loss: a constraint on the distortion, held by a weight that follows its measured value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Context, ModelOutput, Report
from genzoo_losses.options import GecoOptions

NEAR = 0.02
"""A distortion within this part of the target counts as having reached it."""


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

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`: whether the target is reached, and whether it can be, and should."""
        target, found = evidence.quantities.get("target", self.options.target), evidence.distortion
        floor, constant = evidence.floor, evidence.baseline
        near = max(1.0, NEAR * abs(target))
        if floor is not None and target < floor:
            text = (
                f"The target of {target:g} nats lies below the {floor:.2f} of a perfect decoder: the weight only grows."
            )
            return [Finding("fault", text, f"a higher --loss.target, such as {found + near:.0f}")]
        if constant is not None and target >= constant:
            text = f"The target of {target:g} nats needs no latents: the best constant image has {constant:.2f}."
            return [Finding("fault", text, "a lower --loss.target")]
        if found > target + near:
            text = f"The target of {target:g} nats is not reached."
            return [
                Finding("note", text, "more --epochs" if evidence.early else "more --epochs or a higher --loss.target")
            ]
        if found < target - near:
            return [
                Finding("note", f"The distortion lies below the target of {target:g} nats; the weight still falls.")
            ]
        return [Finding("good", f"The target of {target:g} nats is reached.")]

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
