"""Model outputs made by hand, whose every number is known, for checking losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.testing.bench import generator
from genzoo.types import Batch, Latent, ModelOutput

SHAPE = (1, 4, 4)
WIDTH = 3


@dataclass(frozen=True)
class Case:
    """The tensors that an output is made of.

    Args:
        mean, log_variance: ``[L, B, 3]``, the posteriors of the levels.
        noise: ``[L, K, B, 3]``, of the samples.
        logits: ``[B, 1, 4, 4]``, the decoder's raw output but for the part that depends on the sample.
        image: ``[B, 1, 4, 4]``.
        auxiliary: name → ``[B]``.
        label: ``[B]``, which stay with their images.
        categorical: Codes for latents, whose logits are ``mean``.
    """

    mean: Tensor
    log_variance: Tensor
    noise: Tensor
    logits: Tensor
    image: Tensor
    label: Tensor
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    categorical: bool = False

    def leaves(self) -> tuple[Tensor, Tensor, Tensor]:
        """What gradients are taken with respect to."""
        return self.mean, self.log_variance, self.logits

    def with_leaves(self, mean: Tensor, log_variance: Tensor, logits: Tensor) -> Case:
        return replace(self, mean=mean, log_variance=log_variance, logits=logits)

    def map(self, change: Mapping[str, Any]) -> Case:
        """The case with some tensors replaced."""
        return replace(self, **change)

    def to(self, target: torch.dtype | str) -> Case:
        """The case in another dtype, or on another device."""
        names = ("mean", "log_variance", "noise", "logits", "image")
        moved = {name: getattr(self, name).to(target) for name in names}
        return replace(self, **moved, auxiliary={name: value.to(target) for name, value in self.auxiliary.items()})

    def pick(self, index: Tensor) -> Case:
        """The case of the images at ``index``."""
        return replace(
            self,
            mean=self.mean[:, index],
            log_variance=self.log_variance[:, index],
            noise=self.noise[:, :, index],
            logits=self.logits[index],
            image=self.image[index],
            label=self.label[index],
            auxiliary={name: value[index] for name, value in self.auxiliary.items()},
        )

    @property
    def size(self) -> int:
        return self.image.shape[0]

    def batch(self) -> Batch:
        return Batch(self.image, self.label)

    def output(self) -> ModelOutput:
        """The output: one posterior a level, top first, and a Bernoulli likelihood that reads the last sample."""
        latents = self._codes() if self.categorical else self._normals()
        read = latents[-1].to_decoder.flatten(2).sum(-1)[..., None, None, None]
        raw = self.logits + 0.1 * read.to(self.logits.dtype)
        likelihood = Independent(Bernoulli(logits=raw, validate_args=False), 3, validate_args=False)
        return ModelOutput(tuple(latents), likelihood, dict(self.auxiliary))

    def _normals(self) -> list[Latent]:
        latents: list[Latent] = []
        for mean, log_variance, noise in zip(self.mean, self.log_variance, self.noise, strict=True):
            posterior = DiagonalNormal(mean, log_variance)
            sample = mean + (0.5 * log_variance).exp() * noise
            if latents:
                above = 0.3 * latents[-1].sample
                prior = DiagonalNormal(above, torch.zeros_like(above))
            else:
                prior = StandardNormal((WIDTH,), dtype=mean.dtype, device=mean.device)
            latents.append(Latent(posterior, prior, sample))
        return latents

    def _codes(self) -> list[Latent]:
        logits = torch.stack([self.mean[0], -self.mean[0], self.log_variance[0]], dim=-1)
        posterior = Independent(Categorical(logits=logits, validate_args=False), 1, validate_args=False)
        uniform = Categorical(logits=torch.zeros_like(logits[0]), validate_args=False)
        prior = Independent(uniform, 1, validate_args=False)
        sample = (logits + self.noise[0].unsqueeze(-1).clamp(-0.5, 0.5)).argmax(-1)
        one_hot = torch.nn.functional.one_hot(sample, 3).to(logits.dtype)
        probabilities = logits.softmax(-1)
        return [Latent(posterior, prior, sample, one_hot + probabilities - probabilities.detach())]


def case(
    *, n: int = 6, samples: int = 1, levels: int = 1, rate: float = 1.0, seed: int = 0, categorical: bool = False
) -> Case:
    """A case in float64.

    Args:
        n: Images.
        samples: K.
        levels: L.
        rate: How far the posteriors are from the prior, 0 for no rate.
        seed: Which numbers.
        categorical: Codes for latents.
    """
    draw = generator(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    mean, log_variance = rate * normal(levels, n, WIDTH), -rate * torch.rand(levels, n, WIDTH, generator=draw).double()
    image = torch.rand(n, *SHAPE, generator=draw, dtype=torch.float64)
    noise, logits = normal(levels, samples, n, WIDTH), normal(n, *SHAPE)
    return Case(mean, log_variance, noise, logits, image, torch.arange(n) % 3, {}, categorical)
