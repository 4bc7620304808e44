"""Wrong plugins of the kinds that a second first contact passed, each with a correct one that differs in one line."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.distributions import Distribution
from torch.nn import functional as F

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import UsageError
from genzoo.interfaces import Metric, Player, Prior, Terms, Visualizer
from genzoo.interfaces.objective import MODEL
from genzoo.parts.latents import encode
from genzoo.parts.point_mass import PointMass
from genzoo.testing.reference import PlainLoss, PlainModel
from genzoo.types import Capability, Encoding, Latent, LatentSpec, Report
from wrong_plugins.ledger import right, wrong
from wrong_plugins.priors import LearnedNormal
from wrong_plugins.values import GradientPenalty
from wrong_plugins.visualizers import First

# Priors


class _Mixture(Distribution):
    arg_constraints: ClassVar = {}

    def __init__(self, parts, weight):
        self._parts, self._weight = parts, weight
        super().__init__(torch.Size(), parts.event_shape, validate_args=False)

    def sample(self, sample_shape=()):
        shape = torch.Size(sample_shape)
        every = self._parts.sample(shape)
        which = torch.randint(every.shape[len(shape)], shape)
        index = which.reshape(*shape, 1, *[1] * len(self.event_shape)).expand(*shape, 1, *self.event_shape)
        return every.gather(len(shape), index).squeeze(len(shape))

    def log_prob(self, value):
        each = self._parts.log_prob(value.unsqueeze(-len(self.event_shape) - 1))
        return each.logsumexp(-1) + self._weight


@right()
class ByClass(Prior):
    """A normal a class; without a label, the mixture of them."""

    conditional: ClassVar = True

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.mean = nn.Parameter(torch.randn(image.classes or 1, *latent.shape))
        self.log_variance = nn.Parameter(torch.zeros(image.classes or 1, *latent.shape))

    def weight(self):
        return -math.log(len(self.mean))

    def forward(self, *, label=None, encode=None):
        dims = len(self.latent.shape)
        if label is not None:
            return DiagonalNormal(self.mean[label], self.log_variance[label], dims)
        return _Mixture(DiagonalNormal(self.mean, self.log_variance, dims), self.weight())


@wrong("agrees-with-itself", says="without a label")
class ForgetsTheWeights(ByClass):
    """Without a label its density sums to the number of classes."""

    def weight(self):
        return 0.0


@right()
class EitherWay(LearnedNormal):
    """It is trained with the model or fitted afterwards, with an nll of its own."""

    fits: ClassVar = frozenset({"joint", "after"})

    def nll(self, latents, label=None):
        inside = (latents - self.mean).square() * (-self.log_variance).exp() + self.log_variance
        return self.reduced(0.5 * (inside + math.log(2 * math.pi)).flatten(1))

    def reduced(self, each):
        return each.sum(1)


@wrong("nll-is-log-prob")
class FitsAMean(EitherWay):
    """Its nll is a mean over dimensions."""

    def reduced(self, each):
        return each.mean(1)


class _Draws(Distribution):
    arg_constraints: ClassVar = {}

    def __init__(self, prior):
        self._prior = prior
        super().__init__(torch.Size(), torch.Size(prior.latent.shape), validate_args=False)

    def sample(self, sample_shape=()):
        prior, shape = self._prior, torch.Size(sample_shape)
        with torch.no_grad():
            weight = prior.body[0].weight
            z = torch.randn(shape.numel(), prior.latent.size, dtype=weight.dtype, device=weight.device)
            for step in range(10):
                time = torch.full_like(z[:, :1], step / 10)
                z = z + prior.body(torch.cat([z, time], 1)) / 10
        return z.reshape(shape + self.event_shape)


@right()
class Flowing(Prior):
    """A velocity from noise to latents (flow matching), fitted afterwards; its density is not known."""

    fitted: ClassVar = "after"
    density: ClassVar = "none"
    fit_report = Report("velocity_error", "Squared error of the velocity", "", "lower")

    def __init__(self, options, latent, image):
        super().__init__(options, latent, image)
        self.body = nn.Sequential(nn.Linear(latent.size + 1, 32), nn.SiLU(), nn.Linear(32, latent.size))
        self.register_buffer("begun", torch.zeros((), dtype=torch.int64))

    def forward(self, *, label=None, encode=None):
        weight = self.body[0].weight
        if not self.begun:
            return StandardNormal(self.latent.shape, dtype=weight.dtype, device=weight.device)
        return _Draws(self)

    def nll(self, latents, label=None):
        raise UsageError("flowing: the density is not known.")

    def fit_loss(self, latents, label=None):
        if self.training and torch.is_grad_enabled():
            self.begun.fill_(1)
        z = latents.flatten(1)
        noise, time = torch.randn_like(z), torch.rand_like(z[:, :1])
        found = self.body(torch.cat([time * z + (1 - time) * noise, time], 1))
        return (found - self.target(z, noise)).square().mean(1)

    def target(self, z, noise):
        return z - noise


@wrong("fitted-draws-come-near")
class FlowsToNoise(Flowing):
    """Its target has nothing to do with the latents."""

    def target(self, z, noise):
        return torch.randn_like(z)


# Models


@right()
class SideBySide(PlainModel):
    """It decodes the samples of each image side by side."""

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        if z.dim() != 3:
            return super().decode(latents, label, mean=mean)
        raw = self.decoder(z.transpose(0, 1).reshape(-1, z.shape[-1]))
        return self.likelihood(self.placed(raw, *z.shape[:2]))

    def placed(self, raw, samples, images):
        return raw.reshape(images, samples, *raw.shape[1:]).transpose(0, 1)


@wrong("samples-stay-with-images")
class MixesSamples(SideBySide):
    """It reshapes where it should transpose."""

    def placed(self, raw, samples, images):
        return raw.reshape(samples, images, *raw.shape[1:])


@right()
class Denoising(PlainModel):
    """It encodes images with noise on them, in training alone."""

    def noisy(self):
        return self.training

    def encode(self, batch, *, samples=1, context=None):
        image = batch.image + 0.3 * torch.randn_like(batch.image) if self.noisy() else batch.image
        return super().encode(batch.with_image(image), samples=samples, context=context)


@wrong("evaluation-repeats", also=("images-independent", "permutation-equivariant", "compiles", "exports"))
class AlwaysNoisy(Denoising):
    """Its noise stays on in evaluation."""

    def noisy(self):
        return True


@right()
class Codebook(PlainModel):
    """Three codes by nearest neighbour, with a straight-through estimator."""

    capabilities: ClassVar = frozenset(
        {Capability.CATEGORICAL_LATENT, Capability.ONE_LEVEL, Capability.DETERMINISTIC_POSTERIOR}
    )

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.levels = (LatentSpec((3,), categories=4),)
        self.prior = parts.prior(self.levels[0])
        self.encoder = parts.network.encoder(parts.image.shape, (6,))
        self.decoder = parts.network.decoder((6,), (parts.likelihood.channels(parts.image), *parts.image.shape[1:]))
        self.book = nn.Parameter(torch.randn(4, 2))

    def encode(self, batch, *, samples=1, context=None):
        self.check_batch(batch)
        z = self.encoder(batch.image).unflatten(1, (3, 2))
        codes = (z.unsqueeze(-2) - self.book).square().sum(-1).argmin(-1)
        found = self.book[codes]
        posterior = PointMass(codes, 1, z.dtype)
        error = (z - found.detach()).square().flatten(1).sum(1) + (z.detach() - found).square().flatten(1).sum(1)
        sample = posterior.sample(torch.Size([samples]))
        read = self.straight(z, found).expand(samples, -1, -1, -1)
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), sample, read),), {"codebook": error})

    def straight(self, z, found):
        return z + (found - z).detach()

    def decode(self, latents, label=None, *, mean=False):
        z = latents[0]
        return super().decode([(z if z.is_floating_point() else self.book[z]).flatten(-2)], label, mean=mean)


@wrong("codes-decode-as-drawn", also=("overfits-one-batch",))
class StraightTheWrongWay(Codebook):
    """Its decoder reads what is not quantised."""

    def straight(self, z, found):
        return found + (z - found).detach()


# Losses


@right()
class AdversarialCodes(PlainLoss):
    """A critic tells codes from draws of the prior (Makhzani et al. 2015)."""

    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})

    @property
    def quantities(self):
        return {"weight": 1.0}

    def prepare(self, model, parts):
        self.critic = nn.Sequential(nn.Linear(model.levels[0].size, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def players(self, model):
        return (Player(MODEL, list(model.parameters())), Player("critic", self.held(model)))

    def held(self, model):
        return list(self.critic.parameters())

    def kept(self, z):
        return z.detach()

    def scores(self, z):
        return self.critic(z.flatten(1).to(self.critic[0].weight.dtype))

    def step(self, model, batch, context, player):
        if player == MODEL:
            return super().step(model, batch, context, player)
        latent = model.encode(batch).latents[0]
        drawn = torch.randn_like(latent.sample[0])
        loss = F.softplus(-self.scores(drawn)).mean() + F.softplus(self.scores(self.kept(latent.sample[0]))).mean()
        return Terms(loss, {"critic": loss}, {})

    def terms(self, output, batch, context, distortion, rates):
        fooling = F.softplus(-self.scores(output.latents[0].sample[0])).mean().to(distortion.dtype)
        return {"distortion": distortion.mean(), "fooling": self.quantity(context, "weight") * fooling}


@wrong("players-do-not-fight")
class CriticMovesTheEncoder(AdversarialCodes):
    """Its critic's player holds the model's parameters too, and nothing is detached."""

    def held(self, model):
        return [*self.critic.parameters(), *model.parameters()]

    def kept(self, z):
        return z


@wrong("every-term-is-trained", says="penalty")
class PenaltyWithoutAGraph(GradientPenalty):
    """The penalty on its critic's gradient is a constant to the critic."""

    def step(self, model, batch, context, player):
        found = super().step(model, batch, context, player)
        if player == "generator":
            return found
        terms = {**found.terms, "penalty": found.terms["penalty"].detach()}
        return replace(found, objective=terms["gap"] + terms["penalty"], terms=terms)


# Metrics and visualizers


@right()
class Nearest(Metric):
    """How often the nearest training code has the class of a test image."""

    requires: ClassVar = frozenset({Capability.REAL_LATENT})
    forbids: ClassVar = frozenset({Capability.CONDITIONAL})
    needs_labels: ClassVar = True
    reads = frozenset({"train", "test"})
    direction: ClassVar = "higher"
    bounds: ClassVar = (0, 1)
    protocol = "posterior means of all training and test images"

    def evaluate(self, run):
        (fit, told), (codes, label) = self.fitted(run), self.codes(run, "test")
        nearest = torch.cdist(codes, fit).argmin(1)
        return {"": float((told[nearest] == label).double().mean())}

    def codes(self, run, split):
        batch = run.batch(500, split)
        return encode(run.model, batch).top.flatten(1).double(), batch.label

    def fitted(self, run):
        return self.codes(run, "train")


@wrong("every-split-counts")
class NearestOfItself(Nearest):
    """It looks test images up among themselves."""

    def fitted(self, run):
        self.codes(run, "train")
        return self.codes(run, "test")


@wrong("grey-levels-are-kept")
class StretchesGreys(First):
    """It leaves the limits of its pictures to matplotlib."""

    def figure(self, run):
        figure = super().figure(run)
        for axes in figure.axes:
            axes.get_images()[0].autoscale()
        return figure


@right()
class CodesByClass(Visualizer):
    """Codes of test images in the colours of their classes, with a legend."""

    requires = frozenset({Capability.REAL_LATENT})
    forbids = frozenset({Capability.CONDITIONAL})
    needs_labels: ClassVar = True
    shift: ClassVar = 0

    def draw(self, run):
        batch = run.batch(300)
        codes = encode(run.model, batch).top.flatten(1)
        codes = torch.nn.functional.pad(codes, (0, max(0, 2 - codes.shape[1])))
        figure = Figure(figsize=(3, 3))
        axes = figure.subplots()
        colours = ("#3366cc", "#cc6633", "#339966", "#993399")
        classes = run.image.classes
        for label in range(classes):
            mine = codes[batch.label == label]
            axes.plot([], [], "o", color=colours[label % 4], label=run.image.class_name(label))
            axes.scatter(mine[:, 0], mine[:, 1], s=4, color=colours[(label + self.shift) % classes % 4])
        axes.legend()
        axes.set_title("codes of test images")
        return {"": figure}


@wrong("points-are-of-their-class", says="legend")
class ColoursByTheNextClass(CodesByClass):
    """Its points have the colour of the next class in its legend."""

    shift = 1
