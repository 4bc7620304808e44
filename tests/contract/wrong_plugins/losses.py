"""Wrong losses, and correct but unusual ones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch

from genzoo import estimators
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.testing.reference import PlainLoss
from genzoo.types import Capability, Context
from wrong_plugins.ledger import right, wrong


class _Terms(PlainLoss):
    """A loss that changes the terms of the plain one."""

    def terms(self, output, batch, context, distortion, rates):
        found = super().terms(output, batch, context, distortion, rates)
        return self.changed(found, output, batch, context, distortion, rates)


@wrong("finite-scalars", also=("terms-sum-to-objective",))
class OnePerImage(PlainLoss):
    """Its distortion term is one number an image."""

    def forward(self, output, batch, context=None):
        found = super().forward(output, batch, context)
        return replace(found, terms={**found.terms, "distortion": found.distortion.expand(len(batch))})


@wrong("terms-sum-to-objective", also=("auxiliary-added-once",))
class HidesATerm(PlainLoss):
    """It adds to the objective what no term shows."""

    def forward(self, output, batch, context=None):
        found = super().forward(output, batch, context)
        return replace(found, objective=found.objective + 0.5 * found.distortion)


@wrong("auxiliary-added-once")
class AddsAuxiliaryTwice(_Terms):
    """It adds the model's auxiliary terms, which the base adds already."""

    def changed(self, found, output, *_):
        return {**found, **{f"{name}-again": value.mean() for name, value in output.auxiliary.items()}}


@wrong("gradient-matches-differences")
class DetachesHalf(_Terms):
    """It trains on half of what it shows."""

    def changed(self, found, *_):
        half = 0.5 * found["distortion"]
        return {**found, "distortion": half + half.detach()}


@wrong(
    "independent-of-batch-size",
    also=("coupling-declared", "named-terms-are-measured"),
    defect="a codebook loss summed over the batch, then added to a per-image term: its weight grows with batch size",
)
class SumsOverTheBatch(_Terms):
    """Its distortion is summed over the batch, its rate is a mean."""

    def changed(self, found, output, batch, *_):
        return {**found, "distortion": found["distortion"] * len(batch)}


@wrong("coupling-declared", also=())
class CouplesInSilence(_Terms):
    """Free bits on the batch mean of the rate, without a word of it."""

    def changed(self, found, output, batch, context, distortion, rates):
        beta = self.quantity(context, "beta")
        return {**found, "rate": beta * torch.stack([level.mean().clamp(min=1.7) for level in rates]).sum()}


@wrong("order-free", also=("independent-of-batch-size", "coupling-declared", "repeated-samples-change-nothing"))
class PairsNeighbours(_Terms):
    """It compares each image with its neighbour in the batch."""

    def changed(self, found, output, batch, context, distortion, rates):
        neighbours = (distortion[:, 1:] - distortion[:, :-1]).square().sum() / max(1, len(batch))
        return {**found, "neighbours": 0.01 * neighbours}


@wrong("quantities-take-effect", defect="a beta (or any option) that changes nothing", says="beta")
class IgnoresItsSchedule(PlainLoss):
    """Its β is never read."""

    def quantity(self, context, name):
        return 1.0


@wrong("quantities-as-tensors")
class AsksForAFloat(PlainLoss):
    """It takes a tensor's place for the configured value."""

    def quantity(self, context, name):
        value = context.values.get(name, 1.0)
        return value if isinstance(value, float) else 1.0


@wrong(
    "configured-without-schedule",
    says="configured",
    defect="validation uses another KL weight than training",
)
class HasAnotherDefault(PlainLoss):
    """Without a schedule it uses another β than the configured one."""

    def quantity(self, context, name):
        return context.values.get(name, 0.5)


@wrong("training-and-evaluation-agree", defect="validation uses another KL weight than training", says="eval mode")
class WeighsEvaluationOtherwise(_Terms):
    """In eval mode its rate has a thousandth of the weight."""

    def changed(self, found, *_):
        return {**found, "rate": found["rate"] * (1.0 if self.training else 1e-3)}


@wrong("reports-true-elbo", defect='KL logged with the wrong sign; "elbo" that is −ELBO', says="rate")
class LogsTheWrongSign(PlainLoss):
    """It logs the rate with the wrong sign."""

    def forward(self, output, batch, context=None):
        found = super().forward(output, batch, context)
        return replace(found, rates=-found.rates)


@wrong("reports-true-elbo", says="distortion", defect='KL logged with the wrong sign; "elbo" that is −ELBO')
class LogsMinusElbo(PlainLoss):
    """What it reports is −ELBO."""

    def forward(self, output, batch, context=None):
        found = super().forward(output, batch, context)
        return replace(found, distortion=-found.distortion, rates=-found.rates)


@wrong("requires-are-capabilities")
class RequiresTheUnknown(PlainLoss):
    """It requires a capability that genzoo does not know."""

    forbids: ClassVar = frozenset({"magic"})


@wrong("falls-with-distortion", also=("gradient-reaches-both-sides", "named-terms-are-measured"))
class MinimisesTheElbo(_Terms):
    """It minimises the log-likelihood."""

    def changed(self, found, *_):
        return {**found, "distortion": -found["distortion"]}


@wrong("beta-zero-removes-a-term", also=("named-terms-are-measured",))
class OffsetsBeta(PlainLoss):
    """Its rate has the weight β + 1."""

    def quantity(self, context, name):
        return 1 + super().quantity(context, name)


@wrong("rises-with-beta", also=("named-terms-are-measured",))
class SubtractsTheRate(_Terms):
    """It subtracts β times the rate."""

    def changed(self, found, *_):
        return {**found, "rate": -found["rate"]}


@wrong("every-level-counts", also=("named-terms-are-measured",))
class ForgetsLowerLevels(_Terms):
    """It counts the top level's rate alone."""

    def changed(self, found, output, batch, context, distortion, rates):
        return {**found, "rate": self.quantity(context, "beta") * rates[0].mean()}


@wrong("repeated-samples-change-nothing", also=("named-terms-are-measured",))
class SumsSamples(_Terms):
    """It sums over the samples in place of averaging."""

    def changed(self, found, output, batch, context, distortion, rates):
        return {**found, "distortion": distortion.sum(0).mean()}


@wrong("stable-at-extremes", defect="Bernoulli cross-entropy on sigmoids instead of logits")
class TakesTheLogOfAProbability(_Terms):
    """It takes a probability to its exponent and back."""

    def changed(self, found, *_):
        return {**found, "distortion": -torch.log(torch.exp(-found["distortion"]))}


@wrong("bfloat16-close")
class SumsInBfloat16(_Terms):
    """It sums what comes in low precision in low precision, one after another."""

    def changed(self, found, output, batch, context, distortion, rates):
        q = output.latents[0].posterior
        if getattr(q.mean, "dtype", None) != torch.bfloat16:
            return found
        return {**found, "rate": found["rate"] * 1.5}


@wrong("gradient-reaches-both-sides", also=("gradient-matches-differences",))
class DetachesTheLikelihood(_Terms):
    """Its distortion has no gradient."""

    def changed(self, found, *_):
        return {**found, "distortion": found["distortion"].detach()}


@wrong("named-terms-are-measured", says="rate")
class ForgetsTheHalf(_Terms):
    """Its rate lacks the factor of one half."""

    def changed(self, found, output, batch, context, distortion, rates):
        return {**found, "rate": 2 * found["rate"]}


@wrong("named-terms-are-measured", says="distortion", also=("distortion-grows-with-pixels",))
class AveragesOverPixels(_Terms):
    """Its distortion is a mean over pixels, which makes β another one."""

    def changed(self, found, output, batch, *_):
        return {**found, "distortion": found["distortion"] / batch.image[0].numel()}


@wrong("beta-is-a-weight")
class SquaresBeta(PlainLoss):
    """It multiplies by β twice."""

    def quantity(self, context, name):
        return super().quantity(context, name) ** 2


class _Weighted(PlainLoss):
    """A β that is an option."""

    @property
    def quantities(self):
        return {"beta": self.options.beta}


@wrong("schedule-replaces-configured", options="wrong_plugins.right:Weight", says="configured too")
class AppliesBetaTwice(_Weighted):
    """It multiplies the scheduled β by the configured one, of which it is made already; 1 hides it."""

    def quantity(self, context, name):
        scheduled = context.values.get(name)
        return self.options.beta if scheduled is None else scheduled * self.options.beta


@wrong("bound-reaches-the-likelihood", also=("falls-with-distortion",))
class WeightsUpsideDown(PlainLoss):
    """It declares a bound and takes the mean of the inverse weights."""

    bound = True

    @property
    def quantities(self):
        return {}

    def terms(self, output, batch, context, distortion, rates):
        inverse = (-estimators.log_weights(output, batch.image)).logsumexp(0) - math.log(distortion.shape[0])
        rate = sum(level.mean() for level in rates)
        plain = {"distortion": distortion.mean(), "rate": rate}
        return {**plain, "importance_gain": -inverse.mean() - plain["distortion"] - rate}


class _Discrepancy(_Terms):
    """The elbo and an MMD with a Gaussian kernel."""

    batch_coupled = True
    requires: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    discrepancies = frozenset({"mmd"})
    diagonal = False

    def changed(self, found, output, *_):
        latent = output.latents[0]
        x = latent.sample[0]
        y = latent.prior.rsample(x.shape[: x.dim() - 1 - len(latent.prior.batch_shape)])
        x, y = (z if z.dtype.itemsize > 2 else z.float() for z in (x, y))
        return {**found, "mmd": self.mean(x, x, same=True) + self.mean(y, y, same=True) - 2 * self.mean(x, y)}

    def mean(self, a, b, same=False):
        kernel = (-0.5 * (a[:, None] - b[None]).square().sum(-1)).exp()
        if not same or self.diagonal or len(a) == 1:
            return kernel.mean()
        return (kernel.sum() - kernel.diagonal().sum()) / (len(a) * (len(a) - 1))


@wrong("discrepancy-unbiased")
class KeepsTheDiagonal(_Discrepancy):
    """Its discrepancy has the diagonal of the kernels in it, and it lists it as unbiased."""

    diagonal = True


@wrong("gradient-reaches-the-prior", also=("gradient-reaches-both-sides",))
class DetachesThePrior(PlainLoss):
    """It holds the prior fixed."""

    def forward(self, output, batch, context=None):
        def held(prior):
            if not isinstance(prior, DiagonalNormal) or isinstance(prior, StandardNormal):
                return prior
            return DiagonalNormal(prior.mean.detach(), prior.log_variance.detach(), len(prior.event_shape))

        latents = tuple(replace(latent, prior=held(latent.prior)) for latent in output.latents)
        return super().forward(replace(output, latents=latents), batch, context)


@right()
class UnbiasedDiscrepancy(_Discrepancy):
    """The elbo and an unbiased discrepancy, which it lists as one."""


@right()
class PerPixel(_Terms):
    """Its distortion is a mean over pixels, which it says."""

    surrogates: ClassVar = {"distortion": "averaged over pixels"}

    def changed(self, found, output, batch, *_):
        return {**found, "distortion": found["distortion"] / batch.image[0].numel()}


@right()
class ImportanceWeighted(PlainLoss):
    """The importance-weighted bound, its remainder a term of its own, without β."""

    bound = True

    @property
    def samples(self):
        return 3

    @property
    def quantities(self):
        return {}

    def terms(self, output, batch, context, distortion, rates):
        bound = estimators.log_weights(output, batch.image).logsumexp(0) - math.log(distortion.shape[0])
        rate = sum(level.mean() for level in rates)
        plain = {"distortion": distortion.mean(), "rate": rate}
        return {**plain, "importance_gain": -bound.mean() - plain["distortion"] - rate}


@right()
class Coupled(PlainLoss):
    """Free bits on the batch mean, which it declares."""

    batch_coupled = True
    requires: ClassVar = frozenset({Capability.REAL_LATENT})

    def terms(self, output, batch, context: Context, distortion, rates):
        beta = self.quantity(context, "beta")
        return {
            "distortion": distortion.mean(),
            "rate": beta * torch.stack([level.mean().clamp(min=0.5) for level in rates]).sum(),
        }
