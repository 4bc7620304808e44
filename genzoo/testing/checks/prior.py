"""Checks of priors: a density that is normalised, that its samples follow, and that does what it declares."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError
from genzoo.randomness import seeded
from genzoo.testing.bench import images
from genzoo.testing.building import encode_of, labels_for, latents_for, prior_at
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.modules import has_parameters, move_from_start
from genzoo.testing.subject import Subject
from genzoo.types import Kind, LatentSpec

PRIOR = Kind.PRIOR
_DRAWS = 4000


def ready(subject: Subject, latent: LatentSpec | None = None, *, moved: bool = False) -> Any:
    """The prior after it has seen its images; ``moved`` away from its initial weights."""
    prior = subject.build(latent=latent or subject.latent)
    with seeded(1):
        prior.initialise(images(prior.image, 20))
    if moved:
        move_from_start(subject, prior)
    return prior.eval()


def nll_at(prior: Any, z: Tensor, label: Tensor | None) -> Tensor:
    """What its training minimises: its own `nll` for a prior fitted afterwards."""
    return prior.fit_loss(z, label) if prior.fitted == "after" else -prior_at(prior, label).log_prob(z)


def has_density(subject: Subject) -> str | None:
    """Why a check of the density does not apply: the prior declares that it is not exact."""
    density = subject.cls.density
    return None if density == "exact" else f"its density is declared as {density}"


def one(prior: Any) -> Distribution:
    """p(z), or p(z|c) for the first class alone: batch [] or [1]."""
    return prior_at(prior, labels_for(prior, 1))


@check(
    "supports-true",
    PRIOR,
    why="The composer joins priors and models by these words.",
    mend='Declare supports = {"real"}, {"categorical"} or both, as the prior has it.',
)
def supports_true(subject: Subject) -> None:
    """It takes a latent of each kind that it supports, and gives samples of that kind."""
    unknown = set(subject.cls.supports) - {"real", "categorical"}
    expect(subject.cls.supports and not unknown, '"real" or "categorical"', sorted(subject.cls.supports))
    for support in subject.cls.supports:
        for latent in subject.latents(support):
            sample = one(ready(subject, latent)).sample()
            real = sample.is_floating_point()
            expect(real == (support == "real"), f"{support} samples", sample.dtype)
            if not real:
                top = int(sample.max())
                expect(0 <= top < (latent.categories or 0), f"codes below {latent.categories}", top)


@check(
    "event-shape",
    PRIOR,
    why="Rates sum over the event of the latent; another shape broadcasts into a wrong number.",
    mend="Return a distribution of event latent.shape; wrap scalar ones in Independent.",
)
def event_shape(subject: Subject) -> None:
    """Its event is the latent's shape, and its batch [], or [B] for labels of a conditional prior."""
    for latent in subject.latents(*subject.cls.supports):
        prior = ready(subject, latent)
        label = labels_for(prior, 4)
        found = prior_at(prior, label)
        expect(tuple(found.event_shape) == latent.shape, f"event {list(latent.shape)}", list(found.event_shape))
        want = () if label is None else (4,)
        expect(tuple(found.batch_shape) == want, f"batch {list(want)}", list(found.batch_shape))


@check(
    "log-prob-shape",
    PRIOR,
    why="Estimators evaluate it at [K, B, *event].",
    mend="Keep leading dimensions: reduce over the event only, and flatten nothing.",
    applies=has_density,
)
def log_prob_shape(subject: Subject) -> None:
    """log p(z) has one value a latent, for any leading dimensions, and each is that latent's own."""
    for latent in subject.latents(*subject.cls.supports):
        prior = ready(subject, latent)
        found = prior_at(prior, labels_for(prior, 5))
        z = latents_for(latent, 5)
        flat = found.log_prob(z)
        expect(tuple(flat.shape) == (5,), "[5]", list(flat.shape))
        grid = found.log_prob(torch.stack([z, z.flip(0), z]))
        expect(tuple(grid.shape) == (3, 5), "[3, 5]", list(grid.shape))
        expect(torch.allclose(grid[0], flat, atol=1e-5), "the same values in [3, 5] as in [5]", "others")


def _grid(subject: Subject, *, width: float = 30.0) -> tuple[Any, Tensor, float | Tensor]:
    """A prior with every point of its latent, and the volume of each: codes, or a grid in one or two dimensions."""
    if "categorical" in subject.cls.supports:
        for latent in (LatentSpec((3,), 4), LatentSpec((2, 2), 3)):
            try:
                prior = ready(subject, latent, moved=True)
            except UsageError:
                continue
            codes = list(itertools.product(range(latent.categories or 0), repeat=latent.size))
            return prior, torch.tensor(codes).reshape(-1, *latent.shape), 1.0
    for latent, points in ((LatentSpec((1,)), 6001), (LatentSpec((2,)), 481)):
        try:
            prior = ready(subject, latent, moved=True).double()
        except UsageError:
            continue
        if latent.size == 1:
            # Over the whole line, so that heavy tails are not cut: z = 3 tan u.
            u = (torch.arange(20001, dtype=torch.float64) + 0.5) / 20001 * math.pi - math.pi / 2
            return prior, 3 * u.tan().reshape(-1, 1), 3 * (1 + u.tan().square()) * math.pi / 20001
        axis = torch.linspace(-width, width, points, dtype=torch.float64)
        axes = torch.meshgrid(*[axis] * latent.size, indexing="ij")
        volume = float((axis[1] - axis[0]) ** latent.size)
        return prior, torch.stack([item.flatten() for item in axes], dim=-1), volume
    raise NotApplicable("it takes no latent small enough to integrate over")


@check(
    "normalised",
    PRIOR,
    why="A density that does not integrate to one shifts every rate and bound by a constant that models cannot see.",
    mend="Include the normalising constant, the log-determinant of a flow and the log-weights of a mixture.",
    applies=has_density,
)
def normalised(subject: Subject) -> None:
    """p(z) integrates to one."""
    prior, points, volume = _grid(subject)
    with torch.no_grad():
        total = float((one(prior).log_prob(points).double().exp() * volume).sum())
    expect(abs(total - 1) < 0.01, "an integral of 1", f"{total:.4f}")


@check(
    "samples-follow-density",
    PRIOR,
    why="`genzoo sample` draws from it and the elbo measures it; they must be the same distribution.",
    mend="Check the direction of a flow, and scales against variances, in `sample`.",
    applies=has_density,
)
def samples_follow_density(subject: Subject) -> None:
    """The mean, spread and entropy of samples are those of the density, to five standard errors."""
    prior, points, volume = _grid(subject)
    with torch.no_grad(), seeded(2):
        distribution = one(prior)
        logs = distribution.log_prob(points).double()
        weights = (logs.exp() * volume).unsqueeze(-1)
        found = distribution.sample(torch.Size([_DRAWS]))
        drawn = distribution.log_prob(found).double().flatten()
    where, flat = points.double().flatten(1), found.double().reshape(_DRAWS, -1)
    # Of heavy tails a mean may not exist; that of z / (1 + |z|) does.
    heavy = float((weights * where.square()).sum() / weights.sum()) > 1e3
    if heavy:
        where, flat = where / (1 + where.abs()), flat / (1 + flat.abs())
    for what, at, got in (("mean", where, flat), ("mean square", where.square(), flat.square())):
        want = (weights * at).sum(0) / weights.sum(0)
        gap = (got.mean(0) - want).abs() / (got.std(0) / _DRAWS**0.5 + 1e-6)
        expect(float(gap.max()) < 5.5, f"a {what} within 5 standard errors of the density's", f"{float(gap.max()):.1f}")
    entropy = float((logs.exp() * volume * logs.clamp(min=-1e4)).sum() / weights.sum())
    gap_ = abs(float(drawn.mean()) - entropy) / (float(drawn.std()) / _DRAWS**0.5 + 1e-4)
    expect(gap_ < 5.5, "a mean log-density within 5 standard errors of the density's", f"{gap_:.1f}")


def _closed_form(p: Distribution) -> str | None:
    try:
        kl_divergence(p, p)
    except NotImplementedError:
        return "no closed-form KL is registered for it"
    return None


@check(
    "no-divergence-from-itself",
    PRIOR,
    why="KL(p ‖ p) = 0 is the least that a closed form must know.",
    mend="Correct the registered KL.",
    applies=lambda subject: _closed_form(one(ready(subject))),
)
def no_divergence_from_itself(subject: Subject) -> None:
    """KL(p ‖ p) = 0 where there is a closed form."""
    for latent in subject.latents(*subject.cls.supports):
        p = one(ready(subject, latent, moved=True))
        if _closed_form(p) is None:
            found = float(kl_divergence(p, p).abs().max())
            expect(found < 1e-5, "0", found)


def _posterior(latent: LatentSpec) -> DiagonalNormal:
    mean = 0.7 * latents_for(latent, 4, torch.float64)
    return DiagonalNormal(mean, 0.3 * mean.flip(0) - 0.5, len(latent.shape))


def _no_closed_rate(subject: Subject) -> str | None:
    if "real" not in subject.cls.supports:
        return "its latents are categorical"
    prior = ready(subject, subject.latents("real")[0]).double()
    try:
        kl_divergence(_posterior(prior.latent), prior_at(prior, labels_for(prior, 4)))
    except NotImplementedError:
        return "no closed-form rate is registered for it"
    return None


@check(
    "closed-form-matches-monte-carlo",
    PRIOR,
    why="The rate that is trained must be the rate that is measured.",
    mend="Correct the registered KL(q ‖ p): its order, its factor of one half, and its sum over the event.",
    applies=lambda subject: has_density(subject) or _no_closed_rate(subject),
)
def closed_form_matches_monte_carlo(subject: Subject) -> None:
    """The closed-form rate is the mean of log q − log p, to four standard errors."""
    for latent in subject.latents("real"):
        prior = ready(subject, latent, moved=True).double()
        q, p = _posterior(latent), prior_at(prior, labels_for(prior, 4))
        with seeded(3), torch.no_grad():
            z = q.sample(torch.Size([_DRAWS]))
            ratio = q.log_prob(z) - p.log_prob(z)
        exact = kl_divergence(q, p)
        gap = float(((exact - ratio.mean(0)).abs() / (ratio.std(0) / _DRAWS**0.5 + 1e-9)).max())
        expect(gap < 5, "a closed form within 4 standard errors of Monte Carlo", f"{gap:.1f}")


@check(
    "label-as-declared",
    PRIOR,
    why="A label prior that ignores labels is the plain one; one that reads them undeclared breaks without them.",
    mend="Declare conditional = True and let the label choose the distribution; or ignore the label.",
    applies=has_density,
)
def label_as_declared(subject: Subject) -> None:
    """The label changes p(z) if, and only if, conditional is declared."""
    prior = ready(subject, moved=True)
    z = latents_for(prior.latent, 4)
    first, second = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    encode = encode_of(prior.latent)
    with torch.no_grad():
        seen = [prior(label=label, encode=encode).log_prob(z) for label in (first, second)]
        if not prior.conditional:
            seen.append(prior(label=None, encode=encode).log_prob(z))
    changed = not all(torch.equal(seen[0], item) for item in seen[1:])
    if prior.conditional:
        expect(changed, "another p(z|c) for another label, since conditional is declared", "the same")
    else:
        expect(not changed, "the same p(z) for any label, since conditional is not declared", "another")


@check(
    "missing-label-handled",
    PRIOR,
    why="Encoders of pseudo-inputs and importance sampling may ask without a label; an IndexError helps nobody.",
    mend="Raise a UsageError when label is None, or return the mixture over labels.",
    applies=lambda subject: None if subject.cls.conditional else "it is not conditional",
)
def missing_label_handled(subject: Subject) -> None:
    """Without a label a conditional prior gives p(z), batch [], or refuses by a UsageError."""
    prior = ready(subject)
    try:
        found = prior(label=None, encode=encode_of(prior.latent))
    except UsageError:
        return
    except Exception as error:
        raise CheckFailure("p(z) or a UsageError without a label", f"{type(error).__name__}: {error}") from error
    expect(tuple(found.batch_shape) == (), "p(z) of batch [] without a label", list(found.batch_shape))


@check(
    "learns",
    PRIOR,
    why="A learned prior that cannot fit four clusters adds parameters and nothing else.",
    mend="Check that log_prob has a gradient to every parameter, and initial values that differ.",
    applies=has_parameters,
)
def learns(subject: Subject) -> None:
    """Its parameters learn: log p of fixed latents rises in training."""
    prior = ready(subject, moved=False).train()
    label = labels_for(prior, 16)
    z = latents_for(prior.latent, 16)
    z = 0.3 * z + 1.5 if z.is_floating_point() else z % 2
    optimizer = torch.optim.Adam([item for item in prior.parameters() if item.requires_grad], lr=0.02)
    values: list[float] = []
    with seeded(5):
        for _ in range(60):
            nll = nll_at(prior, z, label).mean()
            optimizer.zero_grad()
            nll.backward()
            optimizer.step()
            values.append(float(nll.detach()))
    start, end = sum(values[:3]) / 3, sum(values[-5:]) / 5
    expect(end < start - 0.01, f"an nll below {start:.4g} nats", f"{end:.4g}")


@check(
    "initialise-leaves-images",
    PRIOR,
    why="It is given the training images themselves.",
    mend="Copy the images that are kept.",
)
def initialise_leaves_images(subject: Subject) -> None:
    """`initialise` keeps no hold on the images it is given, nor changes them."""
    prior = subject.build()
    given = images(prior.image, 20)
    copy = given.clone()
    with seeded(1):
        prior.initialise(given)
    expect(torch.equal(given, copy), "images as they were", "others")
    prior.eval()
    found: list[Tensor] = []
    for _ in range(2):
        with torch.no_grad(), seeded(4):  # a density that is an estimate draws
            found.append(prior_at(prior, labels_for(prior, 3)).log_prob(latents_for(prior.latent, 3)))
        given.zero_()
    before, after = found
    expect(torch.equal(before, after), "a prior that holds copies", "one that changes with the images")


@check(
    "finite-far-out",
    PRIOR,
    why="Early posteriors are far from the prior; an infinite rate ends the run.",
    mend="Work with log-densities: logsumexp over components, no log of a density.",
    applies=lambda subject: (
        has_density(subject) or (None if "real" in subject.cls.supports else "its latents are categorical")
    ),
)
def finite_far_out(subject: Subject) -> None:
    """log p(z) and its gradient are finite far from the origin."""
    for latent in subject.latents("real"):
        prior = ready(subject, latent)
        z = (40 * latents_for(latent, 5)).requires_grad_(True)
        found = prior_at(prior, labels_for(prior, 5)).log_prob(z)
        expect(bool(found.isfinite().all()), "a finite log p(z)", "inf or nan")
        found.sum().backward()
        expect(z.grad is None or bool(z.grad.isfinite().all()), "a finite gradient", "inf or nan")


@check(
    "nll-is-log-prob",
    PRIOR,
    why="The second stage minimises `nll`; if it is another number, another prior is fitted.",
    mend="Leave `nll` to the base class, or return −log p(z), one value a latent.",
    applies=lambda subject: (
        has_density(subject)
        or (None if "after" in {subject.cls.fitted, *subject.cls.fits} else "it is trained with the model")
    ),
)
def nll_is_log_prob(subject: Subject) -> None:
    """For a prior that can be fitted afterwards, `nll` is −log p(z), one value a latent."""
    prior = ready(subject, moved=True)
    z, label = latents_for(prior.latent, 5), labels_for(prior, 5)
    prior.train().nll(z, label)
    prior.eval()
    with torch.no_grad():
        found, want = prior.nll(z, label), -prior_at(prior, label).log_prob(z)
    expect(tuple(found.shape) == (5,), "[5]", list(found.shape))
    expect(torch.allclose(found, want, atol=1e-4), "−log p(z)", "another number")
