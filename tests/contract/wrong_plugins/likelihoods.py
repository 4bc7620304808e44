"""Wrong likelihoods, and a correct one that looks unusual."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from genzoo.testing.reference import BernoulliPixels
from wrong_plugins.ledger import right, wrong


class Gaussian(BernoulliPixels):
    """A normal a pixel, with a fixed scale."""

    scale: ClassVar = 0.3

    def distribution(self, raw):
        return Independent(Normal(raw, torch.full_like(raw, self.scale), validate_args=False), 3, validate_args=False)


class _Plain(Distribution):
    """A Bernoulli or normal, wrapped so that one method can be wrong."""

    arg_constraints: ClassVar = {}

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    @property
    def mean(self):
        return self.inner.mean

    def log_prob(self, value):
        return self.inner.log_prob(value)

    def sample(self, sample_shape=()):
        return self.inner.sample(torch.Size(sample_shape))


@wrong("shapes", also=("pixels-add-up", "low-precision-raised", "finite-at-extremes", "entropy-is-the-density's"))
class LeavesChannelsOut(BernoulliPixels):
    """Its event is an image without its channels."""

    def distribution(self, raw):
        return Independent(Bernoulli(logits=raw, validate_args=False), 2, validate_args=False)


class _NoConstant(_Plain):
    def log_prob(self, value):
        return self.inner.log_prob(value) + 0.5 * math.log(2 * math.pi) * math.prod(self.event_shape)


@wrong(
    "normalised",
    also=("mean-is-the-density's", "samples-follow-density", "agrees-with-itself"),
    defect="the constant of a Gaussian likelihood dropped in training, kept in NLL",
)
class DropsItsConstant(Gaussian):
    """Its density lacks ½ log 2π a pixel."""

    def distribution(self, raw):
        return _NoConstant(super().distribution(raw))


class _MeanOfPixels(_Plain):
    def log_prob(self, value):
        return self.inner.log_prob(value) / math.prod(self.event_shape)


@wrong("pixels-add-up")
class AveragesOverPixels(BernoulliPixels):
    """Its log-likelihood is a mean over pixels."""

    def distribution(self, raw):
        return _MeanOfPixels(super().distribution(raw))


class _OtherMean(_Plain):
    @property
    def mean(self):
        return 0.5 * self.inner.mean + 0.25


@wrong("mean-is-the-density's", also=("fits-an-image", "agrees-with-itself"))
class ShowsAnotherMean(BernoulliPixels):
    """Its mean is not that of its density."""

    def distribution(self, raw):
        return _OtherMean(super().distribution(raw))


class _Wide(_Plain):
    def sample(self, sample_shape=()):
        found = super().sample(sample_shape)
        return self.mean + 2 * (found - self.mean)


@wrong("samples-follow-density", also=("agrees-with-itself",))
class SamplesTooWide(Gaussian):
    """Its samples have twice the spread of its density."""

    def distribution(self, raw):
        return _Wide(super().distribution(raw))


@wrong("display-in-range")
class DisplaysItsRawMean(Gaussian):
    """It shows a Gaussian's mean as it is."""

    def display(self, likelihood):
        return likelihood.mean


class _OnSigmoids(_Plain):
    def log_prob(self, value):
        p = torch.sigmoid(self.inner.base_dist.logits)
        return (value * p.log() + (1 - value) * (1 - p).log()).sum((-3, -2, -1))


@wrong("finite-at-extremes", defect="Bernoulli cross-entropy on sigmoids instead of logits")
class WorksOnSigmoids(BernoulliPixels):
    """Its cross-entropy is one of sigmoids."""

    def distribution(self, raw):
        return _OnSigmoids(super().distribution(raw))


@wrong("takes-grey-levels")
class Validates(BernoulliPixels):
    """It leaves torch's validation as it is."""

    def distribution(self, raw):
        return Independent(Bernoulli(logits=raw), 3)


@wrong("every-channel-counts")
class AsksForTooMuch(BernoulliPixels):
    """It asks for two channels a pixel and reads one."""

    def channels(self, image):
        return 2 * image.channels

    def distribution(self, raw):
        return super().distribution(raw[..., : raw.shape[-3] // 2, :, :])


class _Rounded(_Plain):
    def log_prob(self, value):
        return self.inner.log_prob(value).bfloat16()


@wrong("low-precision-raised")
class StaysLow(BernoulliPixels):
    """It computes in the decoder's precision."""

    def forward(self, raw):
        found = super().forward(raw)
        return _Rounded(found) if raw.dtype == torch.bfloat16 else found


@wrong("fits-an-image")
class ShowsTheNegative(BernoulliPixels):
    """It shows the negative of what it rewards."""

    def display(self, likelihood):
        return 1 - super().display(likelihood)


class _Square(_Plain):
    def sample(self, sample_shape=()):
        found = super().sample(sample_shape)
        return self.mean + self.inner.stddev * (found - self.mean)


@wrong("agrees-with-itself")
class TakesTheVariance(BernoulliPixels):
    """A learned scale that starts at 1; its draws take σ² for σ, which is the same there."""

    def __init__(self, options):
        super().__init__(options)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def distribution(self, raw):
        scale = self.log_scale.exp().to(raw.dtype).expand_as(raw)
        return _Square(Independent(Normal(raw, scale, validate_args=False), 3, validate_args=False))


@wrong("least-distortion-is-least", says="fitted")
class NothingIsLeast(BernoulliPixels):
    """It says that grey images can be fitted without any loss."""

    def least_distortion(self, image):
        return image.new_zeros(len(image))


@right()
class LearnedScale(BernoulliPixels):
    """A normal a pixel whose scale is one learned number."""

    def __init__(self, options):
        super().__init__(options)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def distribution(self, raw):
        scale = self.log_scale.exp().to(raw.dtype).expand_as(raw)
        return Independent(Normal(raw, scale, validate_args=False), 3, validate_args=False)


@right()
class PlainGaussian(Gaussian):
    """A normal a pixel."""
