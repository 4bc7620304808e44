"""Correct plugins that a second first contact saw refused, or ones like them; and wrong ones that look like these."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn
from torch.distributions import Categorical, Distribution, Independent, Normal, StudentT, TransformedDistribution
from torch.distributions.transforms import AffineTransform
from torch.nn import functional as F

from genzoo.interfaces import Generator, Metric
from genzoo.randomness import seeded
from genzoo.testing.reference import BernoulliPixels, DiscreteModel, PlainLoss, PlainModel
from genzoo.types import Capability, Encoding, Latent
from wrong_plugins.generators import Game
from wrong_plugins.ledger import right, wrong
from wrong_plugins.likelihoods import Gaussian

# Likelihoods


class _Levels(Distribution):
    """Grey levels, of a categorical distribution a pixel."""

    arg_constraints: ClassVar = {}

    def __init__(self, logits):
        self._log = logits.log_softmax(-1)
        super().__init__(logits.shape[:-4], logits.shape[-4:-1], validate_args=False)

    @property
    def _grey(self):
        count = self._log.shape[-1]
        return torch.arange(count, dtype=self._log.dtype, device=self._log.device) / (count - 1)

    @property
    def mean(self):
        return (self._log.exp() * self._grey).sum(-1)

    def sample(self, sample_shape=()):
        codes = Categorical(logits=self._log, validate_args=False).sample(torch.Size(sample_shape))
        return self._grey[codes]

    def log_prob(self, value):
        count = self._log.shape[-1]
        level = (value * (count - 1)).round().long().clamp(0, count - 1)
        log, level = torch.broadcast_tensors(self._log, level.unsqueeze(-1))
        return log.gather(-1, level[..., :1])[..., 0].sum((-3, -2, -1))


@right()
class FiveLevels(BernoulliPixels):
    """A categorical distribution over five grey levels; images are rounded to them."""

    def channels(self, image):
        return 5 * image.channels

    def distribution(self, raw):
        return _Levels(raw.unflatten(-3, (-1, 5)).movedim(-3, -1))


class _Between(_Levels):
    """The same, with log p between two levels between theirs."""

    def log_prob(self, value):
        count = self._log.shape[-1]
        place = (value * (count - 1)).clamp(0, count - 1).unsqueeze(-1)
        weight = (1 - (place - torch.arange(count, dtype=place.dtype, device=place.device)).abs()).clamp(min=0)
        return (weight * self._log).sum(-1).sum((-3, -2, -1))


@right()
class LevelsByInterpolation(FiveLevels):
    """Grey images are taken between levels, so that it says how many levels there are."""

    levels = 5

    def distribution(self, raw):
        return _Between(raw.unflatten(-3, (-1, 5)).movedim(-3, -1))


class _Shared(Distribution):
    """Pixels with a noise of their own and one that an image shares."""

    arg_constraints: ClassVar = {}
    own: ClassVar = 0.2
    shared: ClassVar = 0.1

    def __init__(self, mean):
        self._mean = mean
        super().__init__(mean.shape[:-3], mean.shape[-3:], validate_args=False)

    @property
    def mean(self):
        return self._mean

    def sample(self, sample_shape=()):
        mean = self._mean.expand(self._extended_shape(torch.Size(sample_shape))).detach()
        return mean + self.own * torch.randn_like(mean) + self.shared * torch.randn_like(mean[..., :1, :1, :1])

    def log_prob(self, value):
        error = (value - self._mean).flatten(-3)
        count, own, shared = error.shape[-1], self.own**2, self.shared**2
        square = error.square().sum(-1) / own - shared / own * error.sum(-1).square() / (own + count * shared)
        return -0.5 * (square + count * math.log(2 * math.pi * own) + math.log1p(count * shared / own))


@right()
class SharedBrightness(BernoulliPixels):
    """Its pixels depend on each other."""

    def distribution(self, raw):
        return _Shared(raw)


class _SharedInDraws(_Shared):
    def log_prob(self, value):
        scale = math.hypot(self.own, self.shared)
        return Normal(self._mean, scale, validate_args=False).log_prob(value).sum((-3, -2, -1))


@wrong("pixels-add-up", says="go together")
class SharesNoiseInDrawsAlone(BernoulliPixels):
    """Its draws share a noise of brightness of which its density knows nothing."""

    def distribution(self, raw):
        return _SharedInDraws(raw)


@wrong("draws-have-its-spread")
class DrawsTheMean(Gaussian):
    """Its draws are its means."""

    def draw(self, likelihood):
        return likelihood.mean.clamp(0, 1)


class _SquaredScale(StudentT):
    @property
    def variance(self):
        return self.scale.square().expand(self.batch_shape)


@right()
class HeavyTails(BernoulliPixels):
    """A Student t a pixel, whose variance is more than its squared scale."""

    made: ClassVar[type] = StudentT

    def distribution(self, raw):
        tails = self.made(torch.full_like(raw, 5.0), raw, torch.full_like(raw, 0.2), validate_args=False)
        return Independent(tails, 3, validate_args=False)


@wrong("agrees-with-itself")
class ForgetsItsTails(HeavyTails):
    """Its variance is its squared scale."""

    made = _SquaredScale


# Losses


@right()
class UnlabelledGame(Game):
    """It takes generators without labels alone."""

    forbids = frozenset({Capability.CONDITIONAL})

    def made(self, model, batch):
        return model.generate([model.sample_top(len(batch))])


@right()
class ClassWeights(PlainLoss):
    """Images of class 0 count three times."""

    surrogates: ClassVar = {"distortion": "weighted by class", "rate": "weighted by class"}

    def terms(self, output, batch, context, distortion, rates):
        weight = torch.ones_like(distortion)
        if batch.label is not None:
            weight = weight * (1 + 2 * (batch.label == 0).to(weight.dtype))
        rate = self.quantity(context, "beta") * (weight * sum(rates)).mean()
        return {"distortion": (weight * distortion).mean(), "rate": rate}


# Models


@right()
class BareNoise(Generator):
    """Noise through a network; its own objective asks it for images with gradients."""

    capabilities = frozenset()

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.body = parts.network.decoder((6,), self.image.shape)

    def images(self, n):
        weight = next(self.body.parameters())
        return self.body(torch.randn(n, 6, dtype=weight.dtype, device=weight.device)).sigmoid()

    @torch.no_grad()
    def sample(self, n, label=None, *, seed=None, mean=True):
        self.check_sample(n, label)
        with seeded(seed):
            return self.images(n)


@right()
class PosteriorWithoutMode(PlainModel):
    """Its posterior is a normal that is carried on by a map, and offers neither mean nor mode."""

    capabilities: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        mean, log_variance = self.encoder(batch.image).chunk(2, dim=-1)
        normal = Independent(Normal(mean, (0.5 * log_variance).exp(), validate_args=False), 1, validate_args=False)
        carried = TransformedDistribution(normal, [AffineTransform(0.3, 1.5, event_dim=1)], validate_args=False)
        sample = carried.rsample(torch.Size([samples]))
        return Encoding((Latent(carried, self.prior_of_top(batch.label), sample),))


@right()
class LooksCodesUp(DiscreteModel):
    """It looks codes up in a table, and flattens what it finds."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.table = nn.Parameter(torch.randn(4, 4))

    def decode(self, latents, label=None, *, mean=False):
        codes = latents[0]
        one_hot = codes if codes.is_floating_point() else F.one_hot(codes, 4).to(self.table.dtype)
        found = one_hot @ self.table if codes.is_floating_point() else self.table[codes]
        return super().decode([found], label, mean=mean)


# Metrics


@right()
class EpochOfTheBest(Metric):
    """The epoch with the best elbo of a run's history."""

    reads = frozenset()
    bounds = (0, None)
    unit = "epochs"
    protocol = "the epoch whose elbo of test images is the best; 0 without a history"

    def evaluate(self, run):
        found = [(row["test"]["elbo"], row["epoch"]) for row in run.history if row.get("test")]
        return {"": float(max(found)[1]) if found else 0.0}


@right()
class Weights(Metric):
    """The number of a model's weights, of which fewer are better."""

    reads = frozenset()
    direction = "lower"
    bounds = (0, None)
    unit = "weights"
    protocol = "all weights of the model"

    def evaluate(self, run):
        return {"": float(sum(p.numel() for p in run.model.parameters()))}
