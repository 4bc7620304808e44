"""The `adversarial` objective: a critic and a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo.interfaces import LatentGenerator, Objective, Parts, Player
from genzoo.interfaces.objective import Terms
from genzoo.parts.labels import append_planes, one_hot
from genzoo.types import Batch, Capability, Context, Report
from genzoo_gan.options import AdversarialOptions


class Adversarial(Objective):
    r"""A critic that tells images of the data from those of the generator, and a generator that it should take for data.

    .. math::
        \min_D -\mathbb E \log D(x) - \mathbb E \log(1 - D(g(z))), \qquad \min_g -\mathbb E \log D(g(z))

    The critic is the network's encoder with one output. Where the model is conditional, it reads the label as planes beside
    the image. At the balance, where the critic cannot tell, its loss is 2 log 2 and both probabilities are a half.

    Args:
        options: Learning rates, Adam's first moment, label smoothing.

    References:
        Goodfellow et al. 2014, Generative Adversarial Nets, equation 1, and section 3 for the generator's loss; Radford et
        al. 2016, Unsupervised Representation Learning with DCGAN, section 4, for Adam's values; Salimans et al. 2016,
        Improved Techniques for Training GANs, section 3.4, for one-sided smoothing.
    """

    on = LatentGenerator
    reports = (
        Report("critic_real", "Critic on data", "probability"),
        Report("critic_generated", "Critic on samples", "probability"),
    )
    options: AdversarialOptions
    critic: nn.Module

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Objective.quantities`."""
        return {"generator_lr": self.options.lr, "critic_lr": self.options.critic_lr}

    def prepare(self, model: Any, parts: Parts) -> None:
        """See `Objective.prepare`."""
        self._conditional = Capability.CONDITIONAL in model.capabilities
        channels, *sides = model.image.shape
        self._classes = (model.image.classes or 0) if self._conditional else 0
        self.critic = parts.network.encoder((channels + self._classes, *sides), (1,))

    def players(self, model: Any) -> Sequence[Player]:
        """See `Objective.players`: the critic first."""
        betas = (self.options.beta1, 0.999)
        return (
            Player("critic", list(self.critic.parameters()), lr="critic_lr", betas=betas),
            Player("generator", list(model.parameters()), lr="generator_lr", betas=betas),
        )

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        if player == "critic":
            with torch.no_grad():
                generated = self._generated(model, batch, context)
            return self._critic_terms(batch, generated, context)
        logits = self._logits(self._generated(model, batch, context), batch.label, context)
        objective = F.softplus(-logits).mean()
        return Terms(objective, {"fooling": objective}, {})

    def evaluate(self, model: Any, batch: Batch, context: Context) -> Terms:
        """See `Objective.evaluate`: the critic's loss and what it takes for data."""
        return self._critic_terms(batch, self._generated(model, batch, context), context)

    def _critic_terms(self, batch: Batch, generated: Tensor, context: Context) -> Terms:
        real = self._logits(batch.image, batch.label, context)
        fake = self._logits(generated, batch.label, context)
        smoothing = self.options.smoothing
        terms = {
            "real": ((1 - smoothing) * F.softplus(-real) + smoothing * F.softplus(real)).mean(),
            "generated": F.softplus(fake).mean(),
        }
        report = {"critic_real": real.sigmoid().mean(), "critic_generated": fake.sigmoid().mean()}
        return Terms(terms["real"] + terms["generated"], terms, report)

    def _generated(self, model: Any, batch: Batch, context: Context) -> Tensor:
        with context.autocast():
            latents = [model.sample_top(len(batch), batch.label)]
            return model.generate(latents, batch.label if self._conditional else None)

    def _logits(self, image: Tensor, label: Tensor | None, context: Context) -> Tensor:
        with context.autocast():
            if self._classes and label is not None:
                image = append_planes(image, one_hot(label, self._classes))
            logits = self.critic(image)[:, 0]
        return logits.float() if logits.dtype.itemsize < 4 else logits
