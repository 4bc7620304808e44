"""Reference parts: the plainest correct likelihood, network, prior, loss and models, so that a component of one kind is
checked without another plugin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent
from torch.nn import functional as F

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.interfaces import LatentGenerator, Likelihood, Loss, Model, Network, Parts, Prior
from genzoo.interfaces.model import check_label
from genzoo.interfaces.prior import Encode
from genzoo.options import NoOptions, Options
from genzoo.parts.field_options import FieldPriorOptions
from genzoo.parts.field_prior import FieldPrior
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, Latent, LatentSpec, ModelOutput, Shape

Cap = Capability


class BernoulliPixels(Likelihood):
    """A Bernoulli a pixel, from logits."""

    def distribution(self, raw: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=raw, validate_args=False), 3, validate_args=False)


class _Joined(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        return self.body(torch.cat([image.flatten(1), condition.flatten(1)], 1))


class PlainNetwork(Network):
    """One hidden layer between any two shapes."""

    offers: ClassVar[frozenset[str]] = frozenset({"encoder", "decoder", "field"})

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        return self._body(input, output)

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        return self._body(input, output)

    def field(self, image: Shape, condition: Shape) -> nn.Module:
        return _Joined(self._body((math.prod(image) + math.prod(condition),), image))

    def _body(self, input: Shape, output: Shape) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(input), 16),
            nn.Tanh(),
            nn.Linear(16, math.prod(output)),
            nn.Unflatten(1, output),
        )


class PlainPrior(Prior):
    """N(0, I), or uniform over categories."""

    supports: ClassVar[frozenset[str]] = frozenset({"real", "categorical"})
    anchor: Tensor

    def __init__(self, options: Options, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        if self.latent.categories is None:
            return StandardNormal(self.latent.shape, dtype=self.anchor.dtype, device=self.anchor.device)
        logits = self.anchor.expand(*self.latent.shape, self.latent.categories)
        codes = Categorical(logits=logits, validate_args=False)
        return Independent(codes, len(self.latent.shape), validate_args=False)


class PlainGenerator(LatentGenerator):
    """A generator without an encoder, over a latent of three dimensions; conditional where the images have labels."""

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.classes = parts.image.classes or 0
        found = {Cap.REAL_LATENT, Cap.ONE_LEVEL} | ({Cap.CONDITIONAL} if self.classes else set())
        self.capabilities = frozenset(found)  # pyright: ignore[reportAttributeAccessIssue]
        self.levels = (LatentSpec((3,)),)
        self.prior = parts.prior(self.levels[0])
        self.decoder = parts.network.decoder((3 + self.classes,), parts.image.shape)

    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        z = latents[0]
        if self.classes:
            codes = F.one_hot(check_label(label, self.image), self.classes).to(z.dtype)
            z = torch.cat([z, codes.expand(*z.shape[:-1], -1)], dim=-1)
        return _flat_decode(self.decoder, z, self.image).sigmoid()


class PlainLoss(Loss):
    """The negative elbo with β."""

    @property
    def quantities(self) -> Mapping[str, float]:
        return {"beta": 1.0}

    def terms(
        self, output: ModelOutput, batch: Batch, context: Context, distortion: Tensor, rates: tuple[Tensor, ...]
    ) -> Mapping[str, Tensor]:
        rate = torch.stack([level.mean() for level in rates]).sum()
        return {"distortion": distortion.mean(), "rate": self.quantity(context, "beta") * rate}


def reference_parts(image: ImageSpec) -> Parts:
    """The reference network, likelihood and prior for images of this shape."""
    options = NoOptions()
    return Parts(
        image, PlainNetwork(options), BernoulliPixels(options), lambda latent: PlainPrior(options, latent, image)
    )


def _normal(raw: Tensor) -> DiagonalNormal:
    mean, log_variance = raw.chunk(2, dim=-1)
    return DiagonalNormal(mean, log_variance)


def _flat_decode(decoder: nn.Module, latent: Tensor, image: ImageSpec) -> Tensor:
    leading = latent.shape[:-1]
    return decoder(latent.reshape(-1, latent.shape[-1])).reshape(*leading, *image.shape)


class PlainModel(Model):
    """A variational autoencoder with a 2-D latent."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Cap.REAL_LATENT, Cap.ONE_LEVEL, Cap.FACTORISED_POSTERIOR}
    )
    extra: ClassVar[int] = 0

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((2,)),)
        self.prior = parts.prior(self.levels[0])
        width = 2 + (parts.image.classes or 0 if Cap.CONDITIONAL in self.capabilities else 0)
        self.encoder = parts.network.encoder(parts.image.shape, (4,))
        self.decoder = parts.network.decoder((width,), (parts.likelihood.channels(parts.image), *parts.image.shape[1:]))

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        self.check_batch(batch)
        posterior = _normal(self.encoder(batch.image))
        sample = posterior.rsample((samples,))
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), sample),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        return self.likelihood(_flat_decode(self.decoder, latents[0], self.image))


class ConditionalModel(PlainModel):
    """A variational autoencoder whose decoder reads the label."""

    capabilities: ClassVar[frozenset[Capability]] = PlainModel.capabilities | {Cap.CONDITIONAL}

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        top = latents[0]
        codes = F.one_hot(check_label(label, self.image), self.image.classes or 1).to(top.dtype)
        joined = torch.cat([top, codes.expand(*top.shape[:-1], -1)], dim=-1)
        return self.likelihood(_flat_decode(self.decoder, joined, self.image))


class TwoLevelModel(Model):
    """Two levels of latents: z₁ from x, then z₂ from x and z₁; p(z₂|z₁) is learned."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Cap.REAL_LATENT, Cap.HIERARCHICAL, Cap.FACTORISED_POSTERIOR}
    )

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((2,)), LatentSpec((3,)))
        self.prior = parts.prior(self.levels[0])
        self.encoder = parts.network.encoder(parts.image.shape, (10,))
        self.lower_prior = nn.Linear(2, 6)
        self.decoder = parts.network.decoder((3,), (parts.likelihood.channels(parts.image), *parts.image.shape[1:]))

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        self.check_batch(batch)
        features = self.encoder(batch.image)
        top = _normal(features[:, :4])
        z = top.rsample((samples,))
        prior = _normal(self.lower_prior(z))
        lower = _normal(features[:, 4:] + self.lower_prior(z))
        return Encoding((Latent(top, self.prior_of_top(batch.label), z), Latent(lower, prior, lower.rsample())))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        if len(latents) == 2:
            lower = latents[1]
        else:
            prior = _normal(self.lower_prior(latents[0]))
            lower = prior.mean if mean else prior.rsample()
        return self.likelihood(_flat_decode(self.decoder, lower, self.image))


class DiscreteModel(Model):
    """Three codes of four categories each, sampled exactly and carried to the encoder by a straight-through surrogate."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Cap.CATEGORICAL_LATENT, Cap.ONE_LEVEL, Cap.FACTORISED_POSTERIOR}
    )

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((3,), categories=4),)
        self.prior = parts.prior(self.levels[0])
        self.encoder = parts.network.encoder(parts.image.shape, (12,))
        self.decoder = parts.network.decoder((12,), (parts.likelihood.channels(parts.image), *parts.image.shape[1:]))

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        self.check_batch(batch)
        logits = self.encoder(batch.image).unflatten(1, (3, 4))
        posterior = Independent(Categorical(logits=logits, validate_args=False), 1, validate_args=False)
        sample = posterior.sample(torch.Size([samples]))
        probabilities = logits.softmax(-1)
        surrogate = F.one_hot(sample, 4).to(logits.dtype) + probabilities - probabilities.detach()
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), sample, surrogate),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        codes = latents[0]
        if not codes.is_floating_point():
            codes = F.one_hot(codes, 4).to(next(self.decoder.parameters()).dtype)
        return self.likelihood(_flat_decode(self.decoder, codes.flatten(-2), self.image))


class NormalPixels(Likelihood):
    """A normal a pixel of standard deviation 0.2, whose mean is the sigmoid of the raw output."""

    def distribution(self, raw: Tensor) -> Distribution:
        mean = raw.sigmoid()
        return DiagonalNormal(mean, torch.full_like(mean, 2 * math.log(0.2)), event_dims=3)


class DensityModel(PlainModel):
    """A variational autoencoder whose likelihood is a density of grey images, as a Bernoulli is not."""

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, replace(parts, likelihood=NormalPixels(NoOptions())))


class PlainFieldPrior(FieldPrior):
    """Three steps along a field that nothing has trained, which counts as fitted."""

    name: ClassVar[str] = "plain-field"

    def __init__(self, latent: LatentSpec, image: ImageSpec, network: Network) -> None:
        super().__init__(FieldPriorOptions.model_validate({}), latent, image)
        self.prepare(network.field)
        self.steps += 1
        self.begun = True

    def fit_loss(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        self.begin()
        return (self.at(latents, self.times(len(latents)), label) - latents).square().flatten(1).sum(1)

    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        z = self.noise(n)
        for step in range(3):
            z = z + self.at(z, torch.full((n,), step / 3, dtype=z.dtype, device=z.device), label) / 3
        return z


class CarriedModel(PlainModel):
    """A variational autoencoder whose prior is drawn from along a field."""

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(
            options, replace(parts, prior=lambda latent: PlainFieldPrior(latent, parts.image, parts.network))
        )


RESERVE_MODELS: tuple[type[Model], ...] = (DensityModel, CarriedModel)
"""What a visualizer or metric is given that refuses all of `REFERENCE_MODELS`."""

REFERENCE_MODELS: tuple[type[Model], ...] = (PlainModel, ConditionalModel, TwoLevelModel, DiscreteModel)
