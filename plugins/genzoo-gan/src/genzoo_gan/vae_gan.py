"""The objective of the VAE/GAN: reconstructions are compared in the features of a critic, which also judges samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo import estimators
from genzoo.interfaces import Loss, Model, Objective, Parts, Player
from genzoo.interfaces.objective import MODEL, Terms
from genzoo.types import Batch, Capability, Context, Report
from genzoo_gan.games import critic_terms, generator_objective
from genzoo_gan.options import VAEGANOptions


class VAEGAN(Objective):
    r"""Rate, distortion in the features of a critic, and a critic of reconstructions and of samples.

    .. math:: \beta R + \tfrac12 \|f(x) - f(\tilde x)\|^2 + w\,\bigl(-\log C(\tilde x) - \log C(x_p)\bigr)

    x̃ is decoded from a sample of q(z|x), :math:`x_p` from one of the prior. The critic C minimises
    :math:`-\log C(x) - \log(1 - C(\tilde x)) - \log(1 - C(x_p))`, and f is its last layer but one. The last term moves the
    decoder alone. Images are the likelihood's means; distortion and elbo under the likelihood itself are reported, and
    nothing is trained by them.

    Args:
        options: Weights, and the critic's number of features and learning rate.

    References:
        Larsen et al. 2016, *Autoencoding beyond pixels using a learned similarity metric*, equations 3 to 8 and
        algorithm 1.

    Differs from the paper: the decoder minimises −log C instead of log(1 − C); γ = 1/w weighs the features' distance
        there, which is the same but for the scale of the decoder's gradient; the critic takes its step after the model.
    """

    on = Model
    requires = frozenset({Capability.REAL_LATENT})
    reports = (
        *Loss.reports,
        Report("feature_distortion", "Distortion of features", "nats"),
        Report("critic_real", "Critic on data", "probability"),
        Report("critic_generated", "Critic on samples", "probability"),
    )
    options: VAEGANOptions
    body: nn.Module
    head: nn.Module

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Objective.quantities`."""
        return {"beta": self.options.beta, "adversary": self.options.adversary, "critic_lr": self.options.critic_lr}

    def prepare(self, model: Any, parts: Parts) -> None:
        """See `Objective.prepare`."""
        self.body = parts.network.encoder(model.image.shape, (self.options.features,))
        self.head = nn.Linear(self.options.features, 1)

    def players(self, model: Any) -> Sequence[Player]:
        """See `Objective.players`."""
        critic = [*self.body.parameters(), *self.head.parameters()]
        return (
            Player(MODEL, list(model.parameters())),
            Player("critic", critic, lr="critic_lr", betas=(0.5, 0.999)),
        )

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        if player == MODEL:
            return self._model_terms(model, batch, context)
        with torch.no_grad(), context.autocast():
            codes = [latent.to_decoder[0] for latent in model.encode(batch, context=context).latents]
            made = [model.generate(codes, batch.label), self._sampled(model, batch)]
        real, *scores = (self._score(self._features(image, context)) for image in (batch.image, *made))
        parts = [critic_terms("non-saturating", real, score) for score in scores]
        terms = {"real": parts[0]["real"], "reconstructed": parts[0]["generated"], "sampled": parts[1]["generated"]}
        report = {"critic_real": real.sigmoid().mean(), "critic_generated": scores[1].sigmoid().mean()}
        return Terms(torch.stack(list(terms.values())).sum(), terms, report)

    def evaluate(self, model: Any, batch: Batch, context: Context) -> Terms:
        """See `Objective.evaluate`."""
        found = self._model_terms(model, batch, context)
        critic = self.step(model, batch, context, "critic")
        return Terms(found.objective, found.terms, {**found.report, **critic.report}, found.output)

    def _model_terms(self, model: Any, batch: Batch, context: Context) -> Terms:
        with context.autocast():
            output = model(batch, context=context)
            codes = [latent.to_decoder[0] for latent in output.latents]
            shown = model.generate(codes, batch.label)
            # What the critic says moves the decoder alone.
            again = model.generate([code.detach() for code in codes], batch.label)
            sampled = self._sampled(model, batch)
        apart = self._features(shown, context) - self._features(batch.image, context).detach()
        distance = 0.5 * apart.square().sum(1).mean()
        scores = [self._score(self._features(image, context)) for image in (again, sampled)]
        fooling = torch.stack([generator_objective("non-saturating", score) for score in scores]).sum()
        rate = torch.stack([level.value.mean() for level in estimators.rates(output.latents)]).sum()
        terms = {
            "feature_distortion": distance,
            "rate": self.quantity(context, "beta") * rate,
            "adversary": self.quantity(context, "adversary") * fooling,
            **{name: value.mean() for name, value in output.auxiliary.items()},
        }
        distortion = estimators.distortion(output, batch.image).mean()
        report = {"distortion": distortion, "rate": rate, "elbo": -(distortion + rate), "feature_distortion": distance}
        return Terms(torch.stack(list(terms.values())).sum(), terms, report, output)

    def _sampled(self, model: Any, batch: Batch) -> Tensor:
        return model.generate([model.sample_top(len(batch), batch.label)], batch.label)

    def _features(self, image: Tensor, context: Context) -> Tensor:
        with context.autocast():
            found = self.body(image)
        return F.leaky_relu(found.float() if found.dtype.itemsize < 4 else found, 0.2)

    def _score(self, features: Tensor) -> Tensor:
        return self.head(features)[:, 0]
