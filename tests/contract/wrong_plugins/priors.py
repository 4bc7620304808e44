"""Wrong priors, and correct but unusual ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, StudentT, register_kl

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import UsageError
from genzoo.interfaces import Prior
from genzoo.testing.reference import PlainPrior
from wrong_plugins.ledger import right, wrong


class LearnedNormal(Prior):
    """A normal with a learned mean and variance."""

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.mean = nn.Parameter(torch.zeros(latent.shape))
        self.log_variance = nn.Parameter(torch.zeros(latent.shape))

    def forward(self, *, label=None, encode=None):
        return DiagonalNormal(self.mean, self.log_variance, len(self.latent.shape))


class _Changed(DiagonalNormal):
    """A normal of which one method is wrong."""

    def __init__(self, of):
        super().__init__(of.mean, of.log_variance, len(of.event_shape))


class _OneMethodWrong(LearnedNormal):
    """A learned normal, its class changed."""

    distribution: ClassVar = _Changed

    def forward(self, *, label=None, encode=None):
        return self.distribution(super().forward())


@wrong("supports-true", also=("follows-dtype", "normalised", "samples-follow-density", "agrees-with-itself"))
class ClaimsCodes(PlainPrior):
    """It says that it takes codes and gives real numbers."""

    supports: ClassVar = frozenset({"categorical"})

    def forward(self, *, label=None, encode=None):
        return StandardNormal(self.latent.shape, dtype=self.anchor.dtype, device=self.anchor.device)


@wrong(
    "event-shape",
    also=(
        "log-prob-shape",
        "samples-follow-density",
        "normalised",
        "closed-form-matches-monte-carlo",
        "agrees-with-itself",
    ),
)
class LeavesDimensionsOpen(LearnedNormal):
    """It returns one distribution a dimension."""

    def forward(self, *, label=None, encode=None):
        return torch.distributions.Normal(self.mean, (0.5 * self.log_variance).exp(), validate_args=False)


class _Averaged(_Changed):
    def log_prob(self, value):
        found = super().log_prob(value)
        return found.mean(0, keepdim=True).expand(found.shape) if found.dim() == 2 else found


@wrong("log-prob-shape")
class AveragesOverSamples(_OneMethodWrong):
    """Its log-density of one sample depends on the others."""

    distribution = _Averaged


class _NoConstant(_Changed):
    def log_prob(self, value):
        return super().log_prob(value) + 0.918938 * value.shape[-1]


@wrong("normalised", also=("closed-form-matches-monte-carlo", "agrees-with-itself"), says="integral")
class DropsItsConstant(_OneMethodWrong):
    """Its density lacks ½ log 2π a dimension."""

    distribution = _NoConstant


class _Wide(_Changed):
    def rsample(self, sample_shape=()):
        found = super().rsample(sample_shape)
        return self.mean + 1.5 * (found - self.mean)


@wrong("samples-follow-density", also=("agrees-with-itself",))
class SamplesTooWide(_OneMethodWrong):
    """Its samples are wider than its density."""

    distribution = _Wide


class _NotNearItself(_Changed):
    """A normal whose KL from itself is one."""


@register_kl(_NotNearItself, _NotNearItself)
def _one(q, p):
    return torch.ones(q.batch_shape)


@wrong("no-divergence-from-itself")
class FarFromItself(_OneMethodWrong):
    """Its KL from itself is one nat."""

    distribution = _NotNearItself


class _HalfKl(_Changed):
    """A normal whose KL forgets a factor of a half."""


@register_kl(DiagonalNormal, _HalfKl)
def _twice(q, p):
    return 2 * torch.distributions.kl_divergence(q, DiagonalNormal(p.mean, p.log_variance, len(p.event_shape)))


@wrong("closed-form-matches-monte-carlo")
class ForgetsAHalf(_OneMethodWrong):
    """Its closed-form rate is twice the true one."""

    distribution = _HalfKl


@wrong("label-as-declared", also=("every-class-apart",))
class IgnoresLabels(LearnedNormal):
    """It says that it is conditional and ignores the label."""

    conditional: ClassVar = True

    def forward(self, *, label=None, encode=None):
        n = () if label is None else label.shape
        return super().forward().expand(n)


class LabelNormal(Prior):
    """A normal a label."""

    conditional: ClassVar = True

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.mean = nn.Parameter(torch.randn(image.classes, *latent.shape))

    def forward(self, *, label=None, encode=None):
        mean = self.mean[label]
        return DiagonalNormal(mean, torch.zeros_like(mean), len(self.latent.shape))


@wrong("every-class-apart")
class MergesTwoClasses(LabelNormal):
    """Its last two classes are one."""

    def forward(self, *, label=None, encode=None):
        if label is None:
            raise UsageError("prior: label must be given, got None.")
        return super().forward(label=label.clamp(max=1))


@wrong("missing-label-handled")
class IndexesByNone(LabelNormal):
    """Without a label it indexes by None, and returns a distribution of every class."""


@wrong("learns")
class LearnsBackwards(LearnedNormal):
    """Its parameters enter by their square, from zero, so that nothing moves."""

    def forward(self, *, label=None, encode=None):
        return DiagonalNormal(self.mean.square(), self.log_variance.square().square(), len(self.latent.shape))


@wrong("initialise-leaves-images", says="copies")
class KeepsItsImages(PlainPrior):
    """It keeps a view of the training images."""

    def initialise(self, images):
        self.seen = images

    def forward(self, *, label=None, encode=None):
        found = super().forward()
        if self.latent.categories is not None or not hasattr(self, "seen") or self.anchor.device.type == "meta":
            return found
        shift = self.seen.mean().to(self.anchor.dtype)
        return DiagonalNormal(found.mean + shift, found.log_variance, len(self.latent.shape))


class _Density(_Changed):
    def log_prob(self, value):
        return torch.log(torch.exp(super().log_prob(value)))


@wrong("finite-far-out")
class TakesTheLogOfADensity(_OneMethodWrong):
    """It takes the log of its density."""

    distribution = _Density


class _Fitted(LearnedNormal):
    """A normal that is fitted afterwards, and fixed until then."""

    fitted: ClassVar = "after"

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.register_buffer("begun", torch.zeros(()))

    def forward(self, *, label=None, encode=None):
        found = super().forward()
        return DiagonalNormal(self.begun * found.mean, self.begun * found.log_variance, len(self.latent.shape))

    def nll(self, latents, label=None):
        if self.training:
            self.begun.fill_(1)
        return super().nll(latents, label)


@wrong("fixed-until-fitted")
class TrainsBeforeItsFit(LearnedNormal):
    """It is fitted afterwards, and takes gradients before."""

    fitted: ClassVar = "after"


class _WholeEntropy(_Changed):
    def entropy(self):
        return 2 * super().entropy()


@wrong("agrees-with-itself", says="entropy")
class ForgetsAHalfOfItsEntropy(_OneMethodWrong):
    """Its entropy is twice the true one."""

    distribution = _WholeEntropy


class _Turned(_Changed):
    def rsample(self, sample_shape=()):
        found = super().rsample(sample_shape)
        return found.flip(-3) if found.dim() >= 3 and found.shape[-3] > 1 and found.shape[-1] == 1 else found


@wrong("agrees-with-itself", says="(2, 1, 1)")
class TurnsItsMaps(_OneMethodWrong):
    """Its samples of a map of one pixel have their channels turned around."""

    distribution = _Turned


class _Variance(_Changed):
    def rsample(self, sample_shape=()):
        found = super().rsample(sample_shape)
        return self.mean + self.stddev * (found - self.mean)


@wrong("agrees-with-itself", also=("samples-follow-density",))
class TakesTheVariance(_OneMethodWrong):
    """It multiplies its noise by σ² instead of σ."""

    distribution = _Variance


@wrong("nll-is-log-prob")
class HalvesItsNll(_Fitted):
    """Its nll is half of it."""

    def nll(self, latents, label=None):
        return 0.5 * super().nll(latents, label)


@wrong("follows-device", name="prior-on-the-host")
class PriorOnTheHost(PlainPrior):
    """It makes its prior on the CPU."""

    def forward(self, *, label=None, encode=None):
        if self.latent.categories is not None:
            return super().forward()
        return StandardNormal(self.latent.shape, dtype=self.anchor.dtype)


@right()
class HeavyTails(LearnedNormal):
    """A Student's t with three degrees of freedom a dimension: heavy tails, and no closed-form rate."""

    def forward(self, *, label=None, encode=None):
        found = StudentT(3.0, self.mean, (0.5 * self.log_variance).exp(), validate_args=False)
        return Independent(found, len(self.latent.shape), validate_args=False)


@right()
class Mixture(Prior):
    """Three learned normals: no closed-form rate."""

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.mean = nn.Parameter(torch.randn(3, *latent.shape))

    def forward(self, *, label=None, encode=None):
        parts = DiagonalNormal(self.mean, torch.zeros_like(self.mean), len(self.latent.shape))
        weights = Categorical(logits=self.mean.new_zeros(3), validate_args=False)
        return MixtureSameFamily(weights, parts, validate_args=False)


@right()
class FittedNormal(_Fitted):
    """A prior that is fitted afterwards."""


@right()
class PlainOne(PlainPrior):
    """N(0, I), or uniform over codes: no parameters."""
