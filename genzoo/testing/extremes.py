"""A model that is as good as one can be on the bench's data, and one that is as bad; metrics must tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Model, Parts
from genzoo.options import Options
from genzoo.testing.bench import generator, mixing, standardised
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec

Cap = Capability


class Oracle(Model):
    """Its latents are the standardised factors, its decoder the very function that made the images."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Cap.REAL_LATENT, Cap.ONE_LEVEL, Cap.FACTORISED_POSTERIOR}
    )

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((3,)),)
        self.prior = parts.prior(self.levels[0])
        self.mixing = torch.nn.Parameter(mixing(parts.image))

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        self.check_batch(batch)
        posterior = self._posterior(batch.image)
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), posterior.rsample((samples,))),))

    def _posterior(self, image: Tensor) -> DiagonalNormal:
        logits = image.clamp(1e-6, 1 - 1e-6).logit().flatten(1)
        mean = torch.linalg.lstsq(self.mixing, logits.T).solution.T
        return DiagonalNormal(mean, torch.full_like(mean, -5.0))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        logits = self._placed(latents[0], label) @ self.mixing.T
        return self.likelihood(logits.reshape(*logits.shape[:-1], *self.image.shape))

    def _placed(self, latent: Tensor, label: Tensor | None) -> Tensor:
        return latent


class ConditionalOracle(Oracle):
    """An oracle that is told the first factor by the label."""

    capabilities: ClassVar[frozenset[Capability]] = Oracle.capabilities | {Cap.CONDITIONAL}

    def _placed(self, latent: Tensor, label: Tensor | None) -> Tensor:
        if label is None:
            return latent
        told = standardised(torch.stack([label, label, label], dim=-1))[..., :1].to(latent.dtype)
        return torch.cat([told.expand(*latent.shape[:-1], 1), latent[..., 1:]], dim=-1)


class Noise(Oracle):
    """Its latents say nothing of the image, and its images resemble none of the data."""

    def _posterior(self, image: Tensor) -> DiagonalNormal:
        zeros = image.new_zeros(image.shape[0], 3)
        return DiagonalNormal(zeros, zeros)

    def _placed(self, latent: Tensor, label: Tensor | None) -> Tensor:
        return latent * 0.01

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        wrong = 6 * torch.randn(self.image.pixels, generator=generator(11)).sign().to(latents[0].dtype)
        logits = self._placed(latents[0], label) @ self.mixing.T + wrong
        return self.likelihood(logits.reshape(*logits.shape[:-1], *self.image.shape))


class ConditionalNoise(Noise):
    """Noise that takes a label and ignores it, in that every class gets the same images."""

    capabilities: ClassVar[frozenset[Capability]] = Noise.capabilities | {Cap.CONDITIONAL}


EXTREMES: tuple[tuple[type[Model], type[Model]], ...] = ((Oracle, Noise), (ConditionalOracle, ConditionalNoise))
"""Pairs of the best and the worst model."""
