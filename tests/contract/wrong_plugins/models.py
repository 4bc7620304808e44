"""Wrong models, and correct but unusual ones."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn
from torch.distributions import Gamma, Independent, Normal, register_kl

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.testing.reference import BernoulliPixels, ConditionalModel, DiscreteModel, PlainModel, TwoLevelModel
from genzoo.types import Batch, Capability, Encoding, Latent, LatentSpec
from wrong_plugins.ledger import right, wrong

Cap = Capability


def with_latent(encoding: Encoding, **change) -> Encoding:
    """The encoding with its only latent changed."""
    return replace(encoding, latents=(replace(encoding.latents[0], **change), *encoding.latents[1:]))


@wrong("state-round-trip", also=("fresh-process-round-trip", "resumes-exactly", "overfits-one-batch"))
class ForgetsItsScale(PlainModel):
    """It draws a scale when it is built and keeps it outside of its state."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.scale = 1 + float(torch.rand(()))

    def decode(self, latents, label=None, *, mean=False):
        return super().decode([self.scale * latents[0]], label, mean=mean)


@wrong("fresh-process-round-trip", defect="networks pickled; load blocked on another Python")
class HashesAName(PlainModel):
    """It scales by the hash of a string, which is another one in each process."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode([latents[0] * (1 + hash("scale") / 2**64)], label, mean=mean)


@wrong("follows-dtype")
class RoundsToFloat(PlainModel):
    """It computes its latents in float32 whatever it is given."""

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        mean, log_variance = self.encoder(batch.image).float().chunk(2, dim=-1)
        posterior = DiagonalNormal(mean, log_variance)
        return Encoding((Latent(posterior, self.prior_of_top(), posterior.rsample((samples,))),))

    def decode(self, latents, label=None, *, mean=False):
        return super().decode([latents[0].to(next(self.parameters()).dtype)], label, mean=mean)


@wrong("follows-device")
class StaysOnTheHost(PlainModel):
    """It makes a tensor on the CPU and adds it to its latents."""

    def decode(self, latents, label=None, *, mean=False):
        shift = torch.zeros(2, device="cpu", dtype=latents[0].dtype) + 0.1
        return super().decode([latents[0] + shift], label, mean=mean)


@wrong("gradient-reaches-every-parameter")
class HasAnIdleLayer(PlainModel):
    """It has a layer that nothing uses."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.idle = nn.Linear(2, 2)


@wrong("evaluation-leaves-it-alone", defect="eval that retries with gradients on, hiding errors", says="changed")
class CountsItsCalls(PlainModel):
    """It updates a buffer in eval mode too."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.register_buffer("calls", torch.zeros(()))

    def encode(self, batch, *, samples=1, context=None):
        with torch.no_grad():
            self.calls.add_(1)
        return super().encode(batch, samples=samples, context=context)


@wrong(
    "evaluation-leaves-it-alone",
    also=("exports", "compiles"),
    defect="eval that retries with gradients on, hiding errors",
    says="graph",
)
class TurnsGradientsOn(PlainModel):
    """It evaluates with gradients on."""

    def encode(self, batch, *, samples=1, context=None):
        with torch.enable_grad():
            return super().encode(batch, samples=samples, context=context)


@wrong(
    "inputs-unchanged", also=("evaluation-repeats", "overfits-one-batch", "images-independent", "compiles", "exports")
)
class DarkensItsInput(PlainModel):
    """It scales the images in place."""

    def encode(self, batch, *, samples=1, context=None):
        batch.image.mul_(0.9)
        return super().encode(batch, samples=samples, context=context)


@wrong("output-shapes", also=("leading-dimensions", "uses-the-likelihood-given"))
class SqueezesABatchOfOne(PlainModel):
    """It squeezes, so that a batch of one loses its dimension."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        return with_latent(found, sample=found.latents[0].sample.squeeze())


@wrong("prior-of-top-shape", also=("uses-the-prior-given",))
class HasAnotherPrior(PlainModel):
    """Its prior is one-dimensional, its latent two-dimensional."""

    def prior_of_top(self, label=None):
        return Independent(Normal(torch.zeros(1), torch.ones(1), validate_args=False).expand((1,)), 1)


@wrong("image-sizes", defect="image size hard-coded", also=("exports", "compiles"))
class KnowsOneSize(PlainModel):
    """Its images are 8 by 8 with one channel, whatever is asked for."""

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        return super().encode(batch.with_image(batch.image.reshape(-1, 1, 8, 8)), samples=samples, context=context)


@wrong("wrong-shape-refused")
class TakesAnyShape(PlainModel):
    """It resizes what it is given, in silence."""

    def encode(self, batch, *, samples=1, context=None):
        shape = self.image.shape
        if tuple(batch.image.shape[1:]) != shape:
            flat = nn.functional.adaptive_avg_pool1d(batch.image.flatten(1), self.image.pixels)
            batch = batch.with_image(flat.reshape(-1, *shape))
        return super().encode(batch, samples=samples, context=context)


@wrong("permutation-equivariant")
class NumbersItsImages(PlainModel):
    """It adds to each image's latent the image's place in the batch."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        place = torch.arange(q.mean.shape[0], device=q.mean.device, dtype=q.mean.dtype).unsqueeze(-1)
        posterior = DiagonalNormal(q.mean + place, q.log_variance)
        return with_latent(found, posterior=posterior, sample=posterior.rsample((samples,)))


@wrong("images-independent")
class CentresItsBatch(PlainModel):
    """It subtracts the mean of the batch, in eval mode too."""

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        centred = batch.image - batch.image.mean(0, keepdim=True)
        return super().encode(batch.with_image(centred), samples=samples, context=context)


@wrong("leading-dimensions")
class MixesLeadingDimensions(PlainModel):
    """It turns a grid of latents around before decoding it."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        if z.dim() == 3 and z.shape[0] == 1 and z.shape[1] == 6:
            z = z.flip(1)
        return super().decode([z], label, mean=mean)


@wrong(
    "mean-decoding-repeats",
    also=(
        "evaluation-repeats",
        "samples-stay-with-images",
        "permutation-equivariant",
        "images-independent",
        "leading-dimensions",
        "label-as-declared",
        "compiles",
        "exports",
    ),
)
class DrawsLowerLevels(TwoLevelModel):
    """It draws its lower level where the mean is asked for."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode(latents, label, mean=False)


@wrong("sample-shape-and-range")
class SamplesLogits(PlainModel):
    """Its samples are logits."""

    def sample(self, n, label=None, *, seed=None, mean=True):
        return 8 * super().sample(n, label, seed=seed, mean=mean) - 4


@wrong("sample-repeats-under-seed")
class ForgetsTheSeed(PlainModel):
    """`sample` ignores its seed."""

    def sample(self, n, label=None, *, seed=None, mean=True):
        return super().sample(n, label, seed=None, mean=mean)


@wrong("empty-sample-refused")
class SamplesNothing(PlainModel):
    """It returns no image when none is asked for."""

    def sample(self, n, label=None, *, seed=None, mean=True):
        return super().sample(n, label, seed=seed, mean=mean) if n else torch.zeros(0, *self.image.shape)


@wrong("capabilities-true")
class ClaimsLevels(PlainModel):
    """It says that it is hierarchical and has one level."""

    capabilities: ClassVar = (PlainModel.capabilities - {Cap.ONE_LEVEL}) | {Cap.HIERARCHICAL}


@wrong("codes-in-range", also=("factorised-posterior-true",))
class CodesFromOne(DiscreteModel):
    """It counts its codes from one."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        latent = found.latents[0]
        return with_latent(found, sample=latent.sample + 4 * (latent.sample == 0), posterior=_Wrapped(latent.posterior))


class _Wrapped(torch.distributions.Distribution):
    """A posterior over codes that takes 4 for 0."""

    arg_constraints: ClassVar = {}

    def __init__(self, inner):
        self.inner = inner
        self.base_dist = inner.base_dist
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def log_prob(self, value):
        return self.inner.log_prob(value % 4)

    def sample(self, sample_shape=()):
        return self.inner.sample(torch.Size(sample_shape))


@wrong("factorised-posterior-true")
class ClaimsToFactorise(PlainModel):
    """Its posterior has a full covariance and says that it factorises."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        shear = torch.eye(2, dtype=q.mean.dtype, device=q.mean.device)
        shear = shear + 0.5 * shear.new_tensor([[0.0, 0.0], [1.0, 0.0]]) if shear.device.type != "meta" else shear
        posterior = torch.distributions.MultivariateNormal(
            q.mean, scale_tril=shear @ torch.diag_embed(q.stddev), validate_args=False
        )
        return with_latent(found, posterior=posterior, sample=posterior.rsample((samples,)))


@wrong("stochasticity-as-declared", also=("samples-follow-posterior", "sample-repeats-under-seed", "images-draw-apart"))
class RepeatsItsSample(PlainModel):
    """It draws one sample and repeats it K times."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=1, context=context)
        return with_latent(found, sample=found.latents[0].sample.expand(samples, -1, -1))


@wrong("samples-follow-posterior", also=("rate-not-negative",))
class ScalesByTheVariance(PlainModel):
    """It multiplies its noise by twice the standard deviation, a square root forgotten."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        noise = torch.randn(samples, *q.mean.shape, dtype=q.mean.dtype, device=q.mean.device)
        return with_latent(found, sample=q.mean + 2 * q.stddev * noise)


class SignTurned(DiagonalNormal):
    """A posterior whose registered KL has the wrong sign."""


@register_kl(SignTurned, StandardNormal)
def _turned(q, p):
    return -0.5 * (q.mean.square() + q.variance - q.log_variance - 1).sum(-1)


@wrong(
    "rate-not-negative",
    also=("overfits-one-batch", "rate-matches-samples"),
    defect='KL logged with the wrong sign; "elbo" that is −ELBO',
)
class TurnsTheSign(PlainModel):
    """Its KL has the wrong sign."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        return with_latent(found, posterior=SignTurned(q.mean, q.log_variance))


@wrong(
    "latents-reach-images",
    also=(
        "distortion-reaches-the-encoder",
        "every-latent-counts",
        "uses-the-prior-given",
    ),
)
class IgnoresItsLatent(PlainModel):
    """It decodes every latent as the same image."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode([latents[0] * 0], label, mean=mean)


@wrong("label-as-declared", also=("bad-label-refused",))
class IgnoresItsLabel(ConditionalModel):
    """It says that it is conditional and ignores the label."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode(latents, torch.zeros_like(label) if label is not None else None, mean=mean)


@wrong("label-as-declared", also=("images-independent", "permutation-equivariant"))
class HidesItsLabel(PlainModel):
    """It reads the label where there is one and does not say so."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        return super().decode([z if label is None else z + label.unsqueeze(-1)], label, mean=mean)


@wrong("bad-label-refused")
class TakesAnyLabel(ConditionalModel):
    """It takes a missing label for class 0."""

    def check_batch(self, batch):
        super().check_batch(Batch(batch.image, torch.zeros(len(batch), dtype=torch.int64)))

    def decode(self, latents, label=None, *, mean=False):
        label = (
            torch.zeros(latents[0].shape[-2], dtype=torch.int64, device=latents[0].device) if label is None else label
        )
        return super().decode(latents, label.long().clamp(0, 2), mean=mean)


@wrong(
    "auxiliary-per-image",
    defect="a codebook loss summed over the batch, then added to a per-image term: its weight grows with batch size",
    says="four times",
    also=("auxiliary-is-each-images-own",),
)
class SumsItsCodebookLoss(PlainModel):
    """Its auxiliary term is a sum over the batch."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        mean = found.latents[0].posterior.mean
        return replace(found, auxiliary={"codebook": mean.square().sum().expand(mean.shape[0])})


@wrong(
    "resumes-exactly",
    defect='a saved "best" model paired with another step\'s optimizer; no load path',
    says="without stopping",
)
class ForgetsItsAverage(PlainModel):
    """It keeps a moving average outside of its state, and trains with it."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.average = 1.0

    def after_step(self, output):
        self.average = 0.5 * self.average
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.mul_(1 - 1e-3 * self.average)


@wrong("overfits-one-batch", also=("gradient-reaches-every-parameter", "distortion-reaches-the-encoder"))
class LearnsNothing(PlainModel):
    """Its decoder does not read the latents, and nothing that is left learns."""

    def decode(self, latents, label=None, *, mean=False):
        found = super().decode([latents[0]], label, mean=mean)
        return self.likelihood(0.01 * found.base_dist.logits.detach().clamp(-1, 1) + 0 * found.base_dist.logits)


@wrong("compiles", also=("exports",))
class BehavesWhenCompiled(PlainModel):
    """It does something else when it is compiled."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        return super().decode([z + 1 if torch.compiler.is_compiling() else z], label, mean=mean)


@wrong("exports", also=("follows-device",))
class BranchesOnAValue(PlainModel):
    """It branches on the value of a tensor."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        return super().decode([z * 0.5 if float(z.mean()) > 100 else z], label, mean=mean)


@wrong("samples-follow-posterior")
class TakesTheVariance(PlainModel):
    """It multiplies its noise by σ² instead of σ, which is the same at initial weights."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        noise = torch.randn(samples, *q.mean.shape, dtype=q.mean.dtype, device=q.mean.device)
        return with_latent(found, sample=q.mean + q.variance * noise)


@wrong("sample-repeats-under-seed", says="global random state")
class SeedsTheWorld(PlainModel):
    """`sample` seeds the global generator and leaves it so."""

    def sample(self, n, label=None, *, seed=None, mean=True):
        if seed is not None:
            torch.manual_seed(seed)
        return super().sample(n, label, mean=mean)


@wrong("label-as-declared", says="1 and 2")
class MergesTwoClasses(ConditionalModel):
    """It takes the last class for the one before it."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode(latents, None if label is None else label.clamp(max=1), mean=mean)

    def check_batch(self, batch):
        super().check_batch(batch)
        if batch.label is not None and batch.label.device.type != "meta" and not torch.compiler.is_compiling():
            assert int(batch.label.max()) < 3
            assert int(batch.label.min()) >= 0


@wrong("uses-the-prior-given", says="prior")
class MakesItsOwnPrior(PlainModel):
    """Its prior is N(0, I), whatever is asked for."""

    def prior_of_top(self, label=None):
        at = next(self.parameters())
        return StandardNormal((2,), dtype=at.dtype, device=at.device)


@wrong("uses-the-likelihood-given")
class MakesItsOwnLikelihood(PlainModel):
    """Its likelihood is a Bernoulli, whatever is asked for."""

    def __init__(self, options, parts):
        super().__init__(options, replace(parts, likelihood=BernoulliPixels(options)))


class WithoutHalf(DiagonalNormal):
    """A posterior whose registered KL lacks the factor of one half."""


@register_kl(WithoutHalf, StandardNormal)
def _whole(q, p):
    return (q.mean.square() + q.variance - q.log_variance - 1).sum(-1)


@wrong("rate-matches-samples")
class ForgetsTheHalf(PlainModel):
    """Its closed-form KL is twice the true one."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        return with_latent(found, posterior=WithoutHalf(q.mean, q.log_variance))


@wrong("distortion-reaches-the-encoder")
class DetachesItsSample(PlainModel):
    """Its encoder hears of the rate alone."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        return with_latent(found, sample=found.latents[0].sample.detach())


@wrong("every-latent-counts")
class DropsALatent(PlainModel):
    """Its decoder reads the first dimension twice."""

    def decode(self, latents, label=None, *, mean=False):
        return super().decode([latents[0][..., :1].expand(latents[0].shape)], label, mean=mean)


@wrong("images-differ-in-code", also=("distortion-reaches-the-encoder",))
class SameForEveryImage(PlainModel):
    """Its encoder sees the mean grey of nothing."""

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        return super().encode(batch.with_image(0 * batch.image), samples=samples, context=context)


@wrong("model-quantities-act")
class DeclaresATemperature(PlainModel):
    """It declares a temperature that nothing reads."""

    @property
    def quantities(self):
        return {"temperature": 1.0}


@wrong("labels-stay-with-images", also=("leading-dimensions",))
class TurnsItsLabels(ConditionalModel):
    """Over several samples it repeats each label in place, and its latents in turn."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        if label is not None and z.dim() == 3 and z.shape[0] > 1:
            found = super().decode([z.flatten(0, 1)], label.repeat_interleave(z.shape[0]), mean=mean)
            return self.likelihood(found.base_dist.logits.unflatten(0, z.shape[:2]))
        return super().decode(latents, label, mean=mean)


@right()
class GammaLatents(PlainModel):
    """A model with gamma posteriors, for whose draws torch has no kernel on the device meta, and no closed-form rate."""

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        mean, rest = self.encoder(batch.image).chunk(2, dim=-1)
        shape, rate = (nn.functional.softplus(item) + 0.5 for item in (mean, rest))
        posterior = Independent(Gamma(shape, rate, validate_args=False), 1, validate_args=False)
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), posterior.rsample((samples,))),))


@right()
class Unweighted(PlainModel):
    """A model without parameters: its latent is the mean of the halves of an image, with a fixed variance."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        del self.encoder, self.decoder
        self.levels = (LatentSpec((2,)),)

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        flat = batch.image.flatten(1)
        half = flat.shape[1] // 2
        mean = torch.stack([flat[:, :half].mean(1), flat[:, half:].mean(1)], dim=-1)
        posterior = DiagonalNormal(mean, torch.full_like(mean, -2.0))
        return Encoding((Latent(posterior, self.prior_of_top(), posterior.rsample((samples,))),))

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        half = self.image.pixels // 2
        halves = [z[..., :1].expand(*z.shape[:-1], half), z[..., 1:].expand(*z.shape[:-1], self.image.pixels - half)]
        return self.likelihood(torch.cat(halves, dim=-1).reshape(*z.shape[:-1], *self.image.shape))


@right()
class TwoLatents(TwoLevelModel):
    """A model with two latents."""


@right()
class Codes(DiscreteModel):
    """A model with a discrete latent."""


@right()
class Labelled(ConditionalModel):
    """A conditional model."""
