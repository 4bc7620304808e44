"""The objective of the FactorVAE: total correlation by a critic."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo.interfaces import Loss, Parts, Player
from genzoo.interfaces.objective import MODEL, Terms
from genzoo.types import Batch, Capability, Context, ModelOutput, Report
from genzoo_tc.options import FactorVAEOptions


class FactorVAE(Loss):
    r"""Distortion, rate and the total correlation of the aggregate posterior, by the density ratio of a critic.

    .. math:: D + \beta R + \gamma\, \mathbb E_{q(z)}\!\left[\log \frac{C(z)}{1 - C(z)}\right]

    The critic C tells latents of the batch from ones whose every dimension comes from another image of it. At its optimum
    the last term is γ times the total correlation; before that it is a surrogate with a useful gradient.

    Args:
        options: Weights, and the critic's size and learning rate.

    Example:
        >>> sorted(FactorVAE(FactorVAEOptions()).quantities)
        ['beta', 'critic_lr', 'gamma']

    References:
        Kim and Mnih 2018, *Disentangling by Factorising*, equations 2 and 3, algorithms 1 and 2.

    Differs from the paper: the critic's latents are of the same batch as the model's, drawn again after the model's step;
    the critic has one logit instead of two.
    """

    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})
    forbids = frozenset({Capability.DETERMINISTIC_POSTERIOR})
    batch_coupled = True
    reports = (*Loss.reports, Report("critic_accuracy", "Critic's accuracy", "fraction", shown=False))
    options: FactorVAEOptions
    critic: nn.Module

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Objective.quantities`."""
        return {"beta": self.options.beta, "gamma": self.options.gamma, "critic_lr": self.options.critic_lr}

    def prepare(self, model: Any, parts: Parts) -> None:
        """See `Objective.prepare`."""
        sizes = (model.levels[0].size, *self.options.critic)
        layers: list[nn.Module] = []
        for old, new in itertools.pairwise(sizes):
            layers += [nn.Linear(old, new), nn.LeakyReLU(0.2)]
        self.critic = nn.Sequential(nn.Flatten(-len(model.levels[0].shape)), *layers, nn.Linear(sizes[-1], 1))

    def players(self, model: Any) -> Sequence[Player]:
        """See `Objective.players`."""
        critic = Player("critic", list(self.critic.parameters()), lr="critic_lr", betas=(0.5, 0.9))
        return (Player(MODEL, list(model.parameters())), critic)

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        if player == MODEL:
            return super().step(model, batch, context, player)
        with torch.no_grad(), context.autocast():
            latents = model.encode(batch).latents[0].sample[0].float()
        joint, apart = self.logits(latents, context), self.logits(permuted(latents), context)
        objective = (F.softplus(-joint).mean() + F.softplus(apart).mean()) / 2
        accuracy = ((joint > 0).float().mean() + (apart <= 0).float().mean()) / 2
        return Terms(objective, {"critic": objective}, {"critic_accuracy": accuracy})

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        (latent,) = output.latents
        return {
            "distortion": distortion.mean(),
            "rate": self.quantity(context, "beta") * rates[0].mean(),
            "total_correlation_critic": self.quantity(context, "gamma") * self.logits(latent.sample, context).mean(),
        }

    def logits(self, latents: Tensor, context: Context) -> Tensor:
        """log C/(1 − C) of latents ``[*, *event]``, ``[*]``; the estimate of log q(z) − Σ log q(z_j)."""
        weights = next(self.critic.parameters())
        with context.autocast():
            found = self.critic(latents.to(weights.dtype))[..., 0]
        return found.to(torch.promote_types(latents.dtype, torch.float32))


def permuted(latents: Tensor) -> Tensor:
    """Latents ``[B, *event]`` in which each dimension is permuted over the batch by itself."""
    flat = latents.flatten(1)
    order = torch.rand_like(flat).argsort(0)
    return flat.gather(0, order).reshape(latents.shape)
