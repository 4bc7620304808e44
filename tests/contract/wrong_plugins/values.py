"""Wrong plugins whose form is right and whose value is not, and right ones that look like them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.distributions import Cauchy, Distribution, Independent, Normal
from torch.nn import functional as F

from genzoo.distributions import DiagonalNormal
from genzoo.interfaces import Generator, Measurement, Metric, PerImage, Prior, Terms, Visualizer
from genzoo.interfaces.measurement import fingerprints
from genzoo.randomness import seeded
from genzoo.testing.reference import BernoulliPixels, PlainGenerator, PlainLoss, PlainModel, TwoLevelModel
from genzoo.types import Capability
from wrong_plugins.datasets import Many
from wrong_plugins.generators import Game
from wrong_plugins.ledger import right, wrong
from wrong_plugins.metrics import Elbo
from wrong_plugins.models import with_latent
from wrong_plugins.networks import Checked

# Likelihoods


@wrong("leading-dimensions-agree")
class ScalesByTheFirstImage(BernoulliPixels):
    """Whatever image it is of, its scale is that of the first one of the batch."""

    def channels(self, image):
        return 2 * image.channels

    def distribution(self, raw):
        mean, scale = raw.chunk(2, -3)
        if raw.dim() > 4:
            scale = scale[:, :1].expand_as(scale)
        return Independent(Normal(mean, scale.clamp(-3, 3).exp(), validate_args=False), 3, validate_args=False)


class _Narrow(Normal):
    def sample(self, sample_shape=torch.Size()):  # noqa: B008
        return self.loc + (super().sample(sample_shape) - self.loc) / math.sqrt(2)


@wrong("agrees-with-itself")
class DrawsAtHalfTheVariance(BernoulliPixels):
    """Its draws have half the variance of its density, which is small beside the square of its mean."""

    def distribution(self, raw):
        scale = torch.full_like(raw, 0.1)
        return Independent(_Narrow(raw + 0.5, scale, validate_args=False), 3, validate_args=False)


class _OtherEntropy(Normal):
    def entropy(self):
        return super().entropy() + 1.0


@wrong("entropy-is-the-density's")
class AddsToItsEntropy(BernoulliPixels):
    """Its entropy is one nat per pixel too large."""

    def distribution(self, raw):
        return Independent(_OtherEntropy(raw, torch.ones_like(raw), validate_args=False), 3, validate_args=False)


class _HalfAGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, raw):
        return raw.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 0.5 * gradient


@wrong("gradient-matches-differences")
class HalvesItsGradient(BernoulliPixels):
    """The backward pass of its link forgets a factor of two."""

    def distribution(self, raw):
        return super().distribution(_HalfAGradient.apply(raw))


# Losses


@wrong("every-sample-counts", also=("named-terms-are-measured",))
class UsesOneSample(PlainLoss):
    """It draws three samples and uses the first."""

    samples = 3

    def terms(self, output, batch, context, distortion, rates):
        found = super().terms(output, batch, context, distortion, rates)
        return {**found, "distortion": distortion[0].mean()}


@wrong("distortion-grows-with-pixels")
class ReconstructsPerPixel(PlainLoss):
    """Its reconstruction is a mean over pixels, beside a rate that is a sum."""

    def terms(self, output, batch, context, distortion, rates):
        found = super().terms(output, batch, context, distortion, rates)
        return {"reconstruction": found["distortion"] / batch.image[0].numel(), "rate": found["rate"]}


@wrong("steps-are-remembered")
class KeepsItsMultiplierBeside(PlainLoss):
    """It moves a multiplier after each step and keeps it as a plain number."""

    def __init__(self, options):
        super().__init__(options)
        self.multiplier = 1.0

    def terms(self, output, batch, context, distortion, rates):
        found = super().terms(output, batch, context, distortion, rates)
        return {"constraint": self.multiplier * found["distortion"], "rate": found["rate"]}

    def after_step(self, report):
        self.multiplier *= 1.01 if float(report["distortion"]) > 1 else 0.99


@right()
class Multiplier(KeepsItsMultiplierBeside):
    """It keeps the multiplier in a buffer."""

    def __init__(self, options):
        super().__init__(options)
        del self.multiplier
        self.register_buffer("multiplier", torch.ones(()))

    def after_step(self, report):
        self.multiplier.mul_(1.01 if float(report["distortion"]) > 1 else 0.99)


class Softplus(Game):
    """The game of the first paper, without its saturation."""

    sign: ClassVar = 1.0

    def step(self, model, batch, context, player):
        made = self.made(model, batch)
        if player == "generator":
            fooled = self.quantity(context, "weight") * F.softplus(-self.critic(made)).mean()
            return Terms(fooled, {"fooled": fooled}, {})
        real, fake = self.critic(batch.image), self.critic(self.kept(made))
        terms = {"real": F.softplus(-self.sign * real).mean(), "fake": F.softplus(fake).mean()}
        return Terms(terms["real"] + terms["fake"], terms, {"real": real.mean()})

    def kept(self, made):
        return made.detach()


@right()
class NonSaturating(Softplus):
    """The same, as it should be."""


@wrong("realism-pays")
class CallsRealImagesMade(Softplus):
    """Its critic gives real and made images the same sign."""

    sign: ClassVar = -1.0


@wrong("players-do-not-undo-each-other")
class CriticTrainsTheGenerator(Softplus):
    """Its critic's player holds the generator's parameters too, and nothing is detached."""

    def players(self, model):
        first, second = super().players(model)
        return (replace(first, parameters=[*first.parameters, *model.parameters()]), second)

    def kept(self, made):
        return made


@right()
class Hinge(Game):
    """A hinge critic (Lim and Ye 2017), whose last bias has no gradient while both margins are open."""

    def step(self, model, batch, context, player):
        made = self.made(model, batch)
        if player == "generator":
            fooled = -self.quantity(context, "weight") * self.critic(made).mean()
            return Terms(fooled, {"fooled": fooled}, {})
        real, fake = self.critic(batch.image), self.critic(made.detach())
        terms = {"real": F.relu(1 - real).mean(), "fake": F.relu(1 + fake).mean()}
        return Terms(terms["real"] + terms["fake"], terms, {"real": real.mean()})


@right()
class GradientPenalty(Game):
    """A Wasserstein critic with a penalty on its gradient (Gulrajani et al. 2017), whose last bias cancels."""

    def step(self, model, batch, context, player):
        made = self.made(model, batch)
        if player == "generator":
            fooled = -self.quantity(context, "weight") * self.critic(made).mean()
            return Terms(fooled, {"fooled": fooled}, {})
        between = 0.5 * (batch.image + made.detach())
        with torch.enable_grad():
            between = between.requires_grad_(True)
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        real, fake = self.critic(batch.image), self.critic(made.detach())
        terms = {
            "gap": fake.mean() - real.mean(),
            "penalty": 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        }
        return Terms(terms["gap"] + terms["penalty"], terms, {"real": real.mean()})


# Models


@wrong("images-draw-apart")
class SharesItsNoise(PlainModel):
    """All images of a batch have one draw of noise."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        noise = torch.randn(samples, 1, *q.event_shape, dtype=q.mean.dtype, device=q.mean.device)
        return with_latent(found, sample=q.mean + q.stddev * noise)


class _Unnormalised(DiagonalNormal):
    def log_prob(self, value):
        return super().log_prob(value) + self.log_variance.sum(-1) / 2 - 3.0 * self.mean.shape[-1]


@wrong("posterior-is-a-density", also=("rate-matches-samples", "factorised-posterior-true"))
class ForgetsTheVolume(PlainModel):
    """Its log q has neither the volume of its posterior nor the constant."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        q = found.latents[0].posterior
        return with_latent(found, posterior=_Unnormalised(q.mean, q.log_variance))


@wrong("auxiliary-is-each-images-own")
class SpreadsAMean(PlainModel):
    """Its auxiliary term is the batch's mean at each image."""

    def encode(self, batch, *, samples=1, context=None):
        found = super().encode(batch, samples=samples, context=context)
        mean = found.latents[0].posterior.mean.square().sum(-1)
        return replace(found, auxiliary={"size": mean.mean().expand(len(batch))})


@wrong("lower-levels-follow-their-prior", also=("latents-reach-images", "uses-the-prior-given", "every-latent-counts"))
class DrawsBelowFromTheStandard(TwoLevelModel):
    """From a top latent alone it draws the lower one from N(0, I), and not from p(z2|z1)."""

    def decode(self, latents, label=None, *, mean=False):
        if len(latents) == 1:
            p = self.lower_prior(latents[0])[..., :3]
            latents = [latents[0], torch.zeros_like(p) if mean else torch.randn_like(p)]
        return super().decode(latents, label, mean=mean)


@wrong("images-are-not-clipped")
class ClampsATanh(PlainGenerator):
    """It maps to [-1, 1] and clamps to [0, 1]."""

    def generate(self, latents, label=None):
        return (2 * super().generate(latents, label) - 1).clamp(0, 1)


@right(kind="model")
class NormalPixels(Generator):
    """A generator without latents: a normal for each pixel, its mean and spread learned."""

    capabilities: ClassVar = frozenset()

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.mean = nn.Parameter(torch.zeros(self.image.shape))
        self.log_deviation = nn.Parameter(torch.full(self.image.shape, -1.0))

    def sample(self, n, label=None, *, seed=None, mean=True):
        self.check_sample(n, label)
        with seeded(seed):
            noise = torch.randn(n, *self.image.shape, dtype=self.mean.dtype, device=self.mean.device)
        return torch.sigmoid(self.mean + self.log_deviation.exp() * noise)


# Networks


class _Padded(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return F.pad(self.body(x)[..., :-1, :-1], (0, 1, 0, 1))


@wrong("every-output-varies", also=("output-is-raw",))
class PadsItsOutput(Checked):
    """The last row and column of its images are zero."""

    def decoder(self, input, output):
        return _Padded(super().decoder(input, output)) if len(output) == 3 else super().decoder(input, output)


class _Drops(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return F.dropout(self.body(x), 0.3, training=True)


@wrong("evaluation-repeats", also=("images-independent", "exports", "compiles", "same-seed-same-result"))
class DropsOutAlways(Checked):
    """It drops units in eval mode too."""

    def encoder(self, input, output):
        return _Drops(super().encoder(input, output))


@right()
class ZeroAtTheStart(Checked):
    """Its last layer is zero at the start, as that of a residual or diffusion network is."""

    def _body(self, input, output):
        body = super()._body(input, output)
        linear = [layer for layer in body.modules() if isinstance(layer, nn.Linear)]
        nn.init.zeros_(linear[-1].weight)
        nn.init.zeros_(linear[-1].bias)
        return body


# Priors


@right()
class CauchyPrior(Prior):
    """Independent Cauchy distributions, which have no mean."""

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.register_buffer("scale", torch.ones(latent.shape), persistent=False)

    def forward(self, *, label=None, encode=None):
        each = Cauchy(torch.zeros_like(self.scale), self.scale, validate_args=False)
        return Independent(each, len(self.latent.shape), validate_args=False)


class _Estimated(Distribution):
    arg_constraints: ClassVar = {}

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def log_prob(self, value):
        found = self.inner.log_prob(value)
        return found + 0.01 * torch.randn_like(found)

    def sample(self, sample_shape=torch.Size()):  # noqa: B008
        return self.inner.sample(sample_shape)


@right()
class Estimated(CauchyPrior):
    """Its log-density is an estimate that draws, and it says so."""

    density: ClassVar = "estimate"

    def forward(self, *, label=None, encode=None):
        return _Estimated(super().forward(label=label, encode=encode))


# Datasets


@wrong("splits-are-alike")
class TurnsItsTestImages(Many):
    """Its test images are upside down."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return split if name == "train" else replace(split, images=split.images.flip(-2))


@wrong("augments-each-image")
class OneCoin(Many):
    """It mirrors all images of a batch, or none."""

    def transform(self, image, *, training):
        return image.flip(-1) if training and bool(torch.rand(()) < 0.5) else image


@right()
class CoinPerImage(Many):
    """It mirrors each image by a coin of its own."""

    def transform(self, image, *, training):
        if not training:
            return image
        coin = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
        return torch.where(coin, image.flip(-1), image)


# Visualizers


class Reconstruction(Visualizer):
    """One reconstruction, large."""

    def draw(self, run):
        shown = run.model.likelihood.display(run.model(run.batch(1)).likelihood)[0, 0].cpu()
        figure = Figure(figsize=(3, 3))
        figure.subplots().imshow(self.placed(shown)[..., 0], cmap="gray", vmin=0, vmax=1)
        figure.text(0.1, 0.95, run.title)
        return {"": figure}

    def placed(self, image):
        return image.permute(1, 2, 0).numpy()


@right()
class WithATextAlone(Reconstruction):
    """It says by a text, and by no title, what it shows."""


@wrong("images-stand-upright")
class Transposes(Reconstruction):
    """Its columns are the image's rows."""

    def placed(self, image):
        return image.permute(2, 1, 0).numpy()


class ByClass(Visualizer):
    """Posterior means, coloured by class."""

    requires: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    needs_labels: ClassVar = True

    def draw(self, run):
        batch = run.shuffled(200)
        z = run.model.encode(batch).latents[0].posterior.mean.cpu()
        label = self.labels(run, batch).cpu()
        figure = Figure(figsize=(4, 4))
        axes = figure.subplots()
        for c in label.unique().tolist():
            axes.scatter(z[label == c, 0], z[label == c, 1], s=4, label=run.image.class_name(c))
        axes.set(title=run.title)
        return {"": figure}

    def labels(self, run, batch):
        return batch.label


@right()
class PointsByClass(ByClass):
    """As it should be."""


@wrong("points-are-of-their-class")
class ColoursOfOtherImages(ByClass):
    """Its codes are of shuffled images, and its labels of the first ones."""

    def labels(self, run, batch):
        return run.batch(200).label


@wrong("responds-to-run", says="after another one")
class KeepsTheFirstImage(Reconstruction):
    """It shows the first run's image beside each later reconstruction."""

    def draw(self, run):
        self.first = getattr(self, "first", None) or run
        return super().draw(run) | {"first": super().draw(self.first)[""]}


# Metrics


@wrong("per-image-values-fit", also=("same-seed-same-result",))
class SortsItsValues(Elbo):
    """Its values per image are sorted, and their places are not."""

    def evaluate(self, run):
        from genzoo import estimators

        split, batch = run.split(), run.batch()
        value = estimators.elbo(run.model(batch), batch.image)[0].double().sort().values
        return Measurement(
            {"": float(value.mean())}, per_image=PerImage(value, split.rows(len(batch)), fingerprints(batch.image))
        )


@right()
class CountsActiveUnits(Metric):
    """How many latent dimensions vary with the image (Burda et al. 2016), which may be all of them in every run."""

    requires: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    unit: ClassVar = "dimensions"

    @property
    def protocol(self):
        return "test images"

    def evaluate(self, run):
        mean = run.model.encode(run.batch()).latents[0].posterior.mean.flatten(1)
        return {"": float((mean.var(0, correction=0) > 0.01).sum())}


@right()
class BrightnessOfSamples(Metric):
    """The mean brightness of samples, with its unit by the measurement; it reads no image."""

    @property
    def protocol(self):
        return "100 samples, no image of the data"

    def evaluate(self, run) -> Any:
        label = None
        if Capability.CONDITIONAL in run.model.capabilities:
            label = torch.arange(100) % (run.image.classes or 1)
        return Measurement(
            {"brightness": float(run.model.sample(100, label, seed=1).mean())}, units={"brightness": "grey"}
        )
