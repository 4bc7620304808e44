"""Wrong generators that do not encode, wrong objectives for them, and wrong fields; and correct but unusual ones."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from genzoo.interfaces import LatentGenerator, Objective, Player, Terms
from genzoo.testing.reference import PlainGenerator, PlainNetwork, PlainPrior
from genzoo.types import Report
from wrong_plugins.ledger import right, wrong


@wrong("generates-images", also=("label-chooses-the-image",))
class PutsOutLogits(PlainGenerator):
    """Its images are not mapped to [0, 1]."""

    def generate(self, latents, label=None):
        return 4 * torch.logit(super().generate(latents, label).clamp(1e-4, 1 - 1e-4))


@wrong("every-latent-is-used")
class ReadsTwoOfThree(PlainGenerator):
    """It leaves out the last latent dimension."""

    def generate(self, latents, label=None):
        return super().generate([latents[0] * torch.tensor([1.0, 1.0, 0.0]).to(latents[0])], label)


@wrong("label-chooses-the-image")
class CallsTwoClassesOne(PlainGenerator):
    """Labels 1 and 2 are the same to it."""

    def generate(self, latents, label=None):
        return super().generate(latents, None if label is None else label.clamp(max=1))


@wrong("generated-sample-repeats")
class DrawsFromItsOwnGenerator(PlainGenerator):
    """It draws its samples from a generator that is seeded once."""

    def sample(self, n, label=None, *, seed=None, mean=True):
        self.check_sample(n, label)
        if not hasattr(self, "_own"):
            self._own = torch.Generator().manual_seed(0)
        latents = torch.randn(n, 3, generator=self._own).to(next(self.parameters()))
        with torch.no_grad():
            return self.generate([latents], label)


@wrong("generator-keeps-its-prior")
class MakesItsOwnPrior(PlainGenerator):
    """It ignores the prior that the user chose."""

    def __init__(self, options, parts):
        super().__init__(options, parts)
        self.prior = _OwnPrior(options, self.levels[0], self.image)


class _OwnPrior(nn.Module):
    conditional = False
    fitted = "joint"
    fits: ClassVar = frozenset()
    density = "exact"

    def __init__(self, options, latent, image):
        super().__init__()
        self.inner, self.latent = PlainPrior(options, latent, image), latent

    def forward(self, **known):
        return self.inner(**known)


@right()
class Unconditional(PlainGenerator):
    """Its images are made without a label, in any precision, and its latent is a map."""

    def __init__(self, options, parts):
        super().__init__(options, replace(parts, image=replace(parts.image, classes=None)))


class Game(Objective):
    """A critic and a generator, by least squares (Mao et al. 2017, equation 2)."""

    on = LatentGenerator
    reports = (Report("real", better="higher"),)

    @property
    def quantities(self):
        return {"critic_lr": 1e-3, "weight": 1.0}

    def prepare(self, model, parts):
        self.classes = model.classes
        self.critic = parts.network.encoder(parts.image.shape, (1,))

    def players(self, model):
        return (
            Player("critic", list(self.critic.parameters()), every=2, lr="critic_lr"),
            Player("generator", list(model.parameters())),
        )

    def made(self, model, batch):
        return model.generate([model.sample_top(len(batch), batch.label)], batch.label if self.classes else None)

    def step(self, model, batch, context, player):
        made = self.made(model, batch)
        if player == "generator":
            fooled = self.quantity(context, "weight") * (self.critic(made) - 1).square().mean()
            return Terms(fooled, {"fooled": fooled}, {})
        real, fake = self.critic(batch.image), self.critic(made.detach())
        terms = {"real": (real - 1).square().mean(), "fake": fake.square().mean()}
        return Terms(terms["real"] + terms["fake"], terms, {"real": real.mean()})


@right()
class LeastSquares(Game):
    """A critic every second step."""


@wrong(
    "players-are-apart",
    also=("every-term-is-trained", "player-gradient-arrives", "player-terms-sum", "quantities-act", "realism-pays"),
)
class CallsBothByOneName(Game):
    """Its players have one name."""

    def players(self, model):
        return tuple(replace(player, name="player") for player in super().players(model))


@wrong("player-terms-sum")
class HidesAPenalty(Game):
    """Its objective has a part that no term shows."""

    def step(self, model, batch, context, player):
        found = super().step(model, batch, context, player)
        return replace(found, objective=found.objective + 0.1)


@wrong("player-gradient-arrives", also=("every-term-is-trained",))
class DetachesTheGenerator(Game):
    """The generator's images are detached for both players."""

    def made(self, model, batch):
        return super().made(model, batch).detach() + 0 * sum(p.sum() for p in model.parameters())


@wrong("reports-are-declared")
class ForgetsAReport(Game):
    """It declares what it never reports."""

    reports = (*Game.reports, Report("distance"))


@wrong("evaluation-changes-nothing")
class CountsEvaluations(Game):
    """Evaluation moves a buffer."""

    def __init__(self, options):
        super().__init__(options)
        self.register_buffer("seen", torch.zeros(()))

    def evaluate(self, model, batch, context):
        self.seen += 1
        return super().evaluate(model, batch, context)


@wrong("quantities-act")
class IgnoresItsWeight(Game):
    """It declares a weight and does not read it."""

    def quantity(self, context, name):
        return 1.0


class FieldOnly(PlainNetwork):
    """A network that offers a field alone."""

    offers = frozenset({"field"})


@right()
class Fields(FieldOnly):
    """A field whose last layer starts at zero, as those of denoisers often do."""

    def field(self, image, condition):
        made = super().field(image, condition)
        last = [module for module in made.modules() if isinstance(module, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
        return made


class _Around(nn.Module):
    def __init__(self, body, change):
        super().__init__()
        self.body, self.change = body, change

    def forward(self, image, condition):
        return self.change(self.body, image, condition)


@wrong("field-keeps-the-shape")
class DropsOddRows(FieldOnly):
    """Its output has even sides only."""

    def field(self, image, condition):
        return _Around(
            super().field(image, condition),
            lambda body, x, c: body(x, c)[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2],
        )


@wrong("field-reads-the-condition")
class ForgetsTheTime(FieldOnly):
    """It does not read the first number of its condition."""

    def field(self, image, condition):
        return _Around(super().field(image, condition), lambda body, x, c: body(x, F.pad(c[:, 1:], (1, 0))))


@wrong("field-reads-the-image")
class OverlooksTheEdge(FieldOnly):
    """It does not see the first row."""

    def field(self, image, condition):
        return _Around(super().field(image, condition), lambda body, x, c: body(F.pad(x[..., 1:, :], (0, 0, 1, 0)), c))
