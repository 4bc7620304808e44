"""The `adversarial` objective: a critic and a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from genzoo.errors import IncompatibleError
from genzoo.interfaces import LatentGenerator, Objective, Parts, Player
from genzoo.interfaces.objective import Terms
from genzoo.parts.labels import append_planes, condition, condition_size
from genzoo.types import Batch, Capability, Context, Report
from genzoo_gan.games import critic_terms, generator_objective, gradient_penalty
from genzoo_gan.options import AdversarialOptions


class Adversarial(Objective):
    r"""A critic that tells images of the data from those of the generator, and a generator that it should take for data.

    .. math::
        \min_D -\mathbb E \log D(x) - \mathbb E \log(1 - D(g(z))), \qquad \min_g -\mathbb E \log D(g(z))

    is the non-saturating game; `genzoo_gan.games.critic_terms` has the others. The critic is the network's encoder with one
    output. Where the model is conditional, it reads the label as planes beside the image. In the non-saturating game the
    critic's loss is 2 log 2 where it cannot tell, and both probabilities are a half; the other games report scores.

    Args:
        options: The game, learning rates, Adam's moments, critic steps, label smoothing and gradient penalty.

    Raises:
        IncompatibleError: If the gradient penalty meets a critic with batch normalisation, which has no gradient of one
            image.

    References:
        Goodfellow et al. 2014, Generative Adversarial Nets, equation 1, and section 3 for the generator's loss; Radford et
        al. 2016, Unsupervised Representation Learning with DCGAN, section 4, for Adam's values; Salimans et al. 2016,
        Improved Techniques for Training GANs, section 3.4, for one-sided smoothing; Lim and Ye 2017, Geometric GAN,
        equations 15 and 16, for the hinge; Gulrajani et al. 2017, Improved Training of Wasserstein GANs, algorithm 1.

    Differs from the paper: with several critic steps, the generator takes part in every so many batches, beginning with the
        first, and uses the batch size and labels of the critic's batch.
    """

    on = LatentGenerator
    reports = (
        Report("critic_real", "Critic on data", "probability"),
        Report("critic_generated", "Critic on samples", "probability"),
    )
    options: AdversarialOptions
    critic: nn.Module

    def __init__(self, options: AdversarialOptions) -> None:
        super().__init__(options)
        if options.game != "non-saturating":
            self.reports = tuple(replace(report, unit="score") for report in type(self).reports)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def quantities(self) -> Mapping[str, float]:
        """Configured values of what a scheduler may drive. See `Objective.quantities`."""
        return {"generator_lr": self.options.lr, "critic_lr": self.options.critic_lr}

    def prepare(self, model: Any, parts: Parts) -> None:
        """See `Objective.prepare`."""
        self._conditional = Capability.CONDITIONAL in model.capabilities
        channels, *sides = model.image.shape
        self._image = model.image
        planes = condition_size(model.image) if self._conditional else 0
        self.critic = parts.network.encoder((channels + planes, *sides), (1,))
        normed = any(isinstance(m, _BatchNorm) for m in self.critic.modules())
        if self.options.game == "wgan-gp" and normed:
            raise IncompatibleError(
                "adversarial: the critic of wgan-gp must be without batch normalisation, got one with it: the penalty is "
                "on the gradient of each image by itself.",
                "Choose another --network.norm, or the game hinge.",
            )

    def players(self, model: Any) -> Sequence[Player]:
        """See `Objective.players`: the critic first."""
        own = self.options
        betas = (own.beta1, own.beta2)
        return (
            Player("critic", list(self.critic.parameters()), lr="critic_lr", betas=betas),
            Player("generator", list(model.parameters()), every=own.critic_steps, lr="generator_lr", betas=betas),
        )

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        if player == "critic":
            with torch.no_grad():
                generated = self._generated(model, batch, context)
            return self._critic_terms(batch, generated, context)
        logits = self._logits(self._generated(model, batch, context), batch.label, context)
        objective = generator_objective(self.options.game, logits)
        return Terms(objective, {"fooling": objective}, {})

    def evaluate(self, model: Any, batch: Batch, context: Context) -> Terms:
        """See `Objective.evaluate`: the critic's loss, without a penalty, and what it makes of data and of samples."""
        return self._critic_terms(batch, self._generated(model, batch, context), context, penalised=False)

    def _critic_terms(self, batch: Batch, generated: Tensor, context: Context, *, penalised: bool = True) -> Terms:
        own = self.options
        real = self._logits(batch.image, batch.label, context)
        fake = self._logits(generated, batch.label, context)
        terms = dict(critic_terms(own.game, real, fake, own.smoothing))
        if penalised and own.game == "wgan-gp" and own.penalty:
            found = gradient_penalty(
                lambda image: self._logits(image, batch.label, context), batch.image, generated.to(batch.image.dtype)
            )
            terms["penalty"] = own.penalty * found
        shown = torch.sigmoid if own.game == "non-saturating" else torch.Tensor.clone
        report = {"critic_real": shown(real).mean(), "critic_generated": shown(fake).mean()}
        return Terms(torch.stack(list(terms.values())).sum(), terms, report)

    def _generated(self, model: Any, batch: Batch, context: Context) -> Tensor:
        with context.autocast():
            latents = [model.sample_top(len(batch), batch.label)]
            return model.generate(latents, batch.label if self._conditional else None)

    def _logits(self, image: Tensor, label: Tensor | None, context: Context) -> Tensor:
        with context.autocast():
            if self._conditional:
                image = append_planes(image, condition(label, self._image))
            logits = self.critic(image)[:, 0]
        return logits.float() if logits.dtype.itemsize < 4 else logits
