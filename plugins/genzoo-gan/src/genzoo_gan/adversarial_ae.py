"""The objective of the adversarial autoencoder: a critic holds the codes to the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genzoo.interfaces import Loss, Parts, Player
from genzoo.interfaces.objective import MODEL, Terms
from genzoo.types import Batch, Capability, Context, ModelOutput, Report
from genzoo_gan.games import critic_terms, generator_objective
from genzoo_gan.options import AdversarialAEOptions
from genzoo_gan.perceptron import perceptron


class AdversarialAE(Loss):
    r"""Distortion, and a critic of codes instead of the rate.

    .. math::
        D - \gamma\, \mathbb E_{q(z)} \log C(z), \qquad
        \min_C -\mathbb E_{p(z)} \log C(z) - \mathbb E_{q(z)} \log(1 - C(z))

    The critic C tells draws of the prior from codes of images, and the encoder seeks codes that it takes for draws. At
    the balance q(z) is p(z), both of the critic's probabilities are a half, and the last term is γ log 2. The rate has no
    weight; it is reported all the same.

    Args:
        options: The weight, and the critic's size and learning rate.

    Example:
        >>> AdversarialAE(AdversarialAEOptions()).quantities
        {'gamma': 10.0, 'critic_lr': 0.0002}

    References:
        Makhzani et al. 2016, *Adversarial Autoencoders*, sections 2 and 2.3.

    Differs from the paper: encoder and decoder take one step on the sum, with the weight γ, instead of a step for each of
        the two terms; the posterior is the model's, the normal one of the paper's three for a `vae`.
    """

    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    reports = (
        *Loss.reports,
        Report("critic_prior", "Critic on draws of the prior", "probability", shown=False),
        Report("critic_codes", "Critic on codes", "probability", shown=False),
    )
    options: AdversarialAEOptions
    critic: nn.Module

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Objective.quantities`."""
        return {"gamma": self.options.gamma, "critic_lr": self.options.critic_lr}

    def prepare(self, model: Any, parts: Parts) -> None:
        """See `Objective.prepare`."""
        self.critic = nn.Sequential(
            nn.Flatten(-len(model.levels[0].shape)), *perceptron(model.levels[0].size, self.options.critic)
        )

    def players(self, model: Any) -> Sequence[Player]:
        """See `Objective.players`."""
        critic = Player("critic", list(self.critic.parameters()), lr="critic_lr", betas=(0.5, 0.999))
        return (Player(MODEL, list(model.parameters())), critic)

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        if player == MODEL:
            return super().step(model, batch, context, player)
        with torch.no_grad(), context.autocast():
            codes = model.encode(batch).latents[0].sample[0].float()
            drawn = model.sample_top(len(batch), batch.label).float()
        real, found = self.logits(drawn, context), self.logits(codes, context)
        terms = critic_terms("non-saturating", real, found)
        report = {"critic_prior": real.sigmoid().mean(), "critic_codes": found.sigmoid().mean()}
        return Terms(terms["real"] + terms["generated"], {"prior": terms["real"], "codes": terms["generated"]}, report)

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
        fooling = generator_objective("non-saturating", self.logits(latent.sample, context))
        return {"distortion": distortion.mean(), "codes_critic": self.quantity(context, "gamma") * fooling}

    def logits(self, latents: Tensor, context: Context) -> Tensor:
        """log C/(1 − C) of latents ``[*, *event]``, ``[*]``; at the optimum log p(z) − log q(z)."""
        weights = next(self.critic.parameters())
        with context.autocast():
            found = self.critic(latents.to(weights.dtype))[..., 0]
        return found.to(torch.promote_types(latents.dtype, torch.float32))
