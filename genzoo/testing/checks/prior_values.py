"""Checks that a prior's distribution agrees with itself: at every small latent, for every class, away from its start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.randomness import seeded
from genzoo.testing.bench import images
from genzoo.testing.building import labels_for, latents_for, prior_at
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.prior import PRIOR, has_density, ready
from genzoo.testing.subject import Subject
from genzoo.types import LatentSpec

_DRAWS = 4000
_SMALL = (
    LatentSpec((1,)),
    LatentSpec((2,)),
    LatentSpec((1, 1, 2)),
    LatentSpec((2, 1, 1)),
    LatentSpec((3,), 4),
    LatentSpec((1,), 5),
    LatentSpec((2, 2), 3),
    LatentSpec((1, 4), 3),
    LatentSpec((4, 1), 3),
)


def _priors(subject: Subject) -> Iterator[tuple[str, Any, Tensor | None]]:
    """Every small latent that is served, moved, under each class: what it is, the prior and the label."""
    found = False
    for latent in _SMALL:
        if latent.support not in subject.cls.supports:
            continue
        try:
            prior = ready(subject, latent, moved=True).double()
        except UsageError:
            continue
        found = True
        classes = range(prior.image.classes or 1) if prior.conditional else (None,)
        for label in classes:
            under = "" if label is None else f" under label {label}"
            yield f"{latent.shape}{under}", prior, None if label is None else torch.tensor([label])
        if prior.conditional and _has_marginal(prior):
            yield f"{latent.shape} without a label", prior, None
    if not found:
        raise NotApplicable("it takes no latent small enough to integrate over")


def _has_marginal(prior: Any) -> bool:
    """Whether a conditional prior gives p(z) where no label is given."""
    try:
        found = prior_at(prior)
    except Exception:  # what is raised there is for another check
        return False
    return tuple(found.batch_shape) == ()


def _points(prior: Any, drawn: Tensor) -> tuple[Tensor, float]:
    """Every code, or a grid about the draws but for far tails, with the volume of each point."""
    latent: LatentSpec = prior.latent
    if latent.categories is not None:
        codes = list(itertools.product(range(latent.categories), repeat=latent.size))
        return torch.tensor(codes).reshape(-1, *latent.shape), 1.0
    flat = drawn.reshape(len(drawn), -1)
    low, high = flat.double().quantile(0.005, dim=0), flat.double().quantile(0.995, dim=0)
    margin = 0.75 * (high - low) + 0.5
    axes = [
        torch.linspace(float(a), float(b), 8001 if latent.size == 1 else 601, dtype=torch.float64)
        for a, b in zip(low - margin, high + margin, strict=True)
    ]
    volume = float(torch.stack([axis[1] - axis[0] for axis in axes]).prod())
    mesh = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([item.flatten() for item in mesh], -1).reshape(-1, *latent.shape), volume


@check(
    "agrees-with-itself",
    PRIOR,
    why="A density that is right for one shape of latent, or one class, and not for another, is found by nobody.",
    mend="Check reshapes for maps of one row or column, the first code's distribution, and each class's weights.",
    applies=has_density,
)
def agrees_with_itself(subject: Subject) -> None:
    """At every small latent and class the density sums to one, and samples, mean, spread and entropy are its own.

    Away from the start. Draws of 4000 are held to 6.5 standard errors: a right prior fails with a probability below 1e-8
    for each of the numbers compared.
    """
    for what, prior, label in _priors(subject):
        with torch.no_grad(), seeded(2):
            p = prior_at(prior, label)
            drawn = p.sample(torch.Size([_DRAWS])).reshape(_DRAWS, *prior.latent.shape)
            points, volume = _points(prior, drawn)
            logs = p.log_prob(points).double().reshape(-1)
        weights = logs.exp() * volume
        total = float(weights.sum())
        expect(abs(total - 1) < 0.02, f"a density that sums to 1 at {what}", f"{total:.4f}")
        where, got = points.double().flatten(1), drawn.double().flatten(1)
        inside = ((got >= where.amin(0)) & (got <= where.amax(0))).all(1)
        expect(float(inside.double().mean()) > 0.95, f"draws where the density is at {what}", "more than 5 % elsewhere")
        got = got[inside]
        mean = (weights[:, None] * where).sum(0) / total
        square = (weights[:, None] * where.square()).sum(0) / total
        for name, want, values in (("mean", mean, got), ("mean square", square, got.square())):
            error = values.std(0) / len(values) ** 0.5 + 1e-3 * (1 + want.abs())
            gap = float(((values.mean(0) - want).abs() / error).max())
            expect(gap < 6.5, f"samples whose {name} is the density's at {what}", f"{gap:.1f} standard errors from it")
        variance = (square - mean.square()).clamp(min=0)
        fourth = (weights[:, None] * (where - mean).pow(4)).sum(0) / total
        if bool((fourth > 8 * variance.square()).any()):
            continue  # a grid misses too much of heavy tails
        _statistics(p, what, mean, variance, -float((weights * logs.clamp(min=-1e4)).sum()))


def _statistics(p: Any, what: str, mean: Tensor, variance: Tensor, entropy: float) -> None:
    """Holds the statistics that the distribution offers to those of its density."""
    wanted = {"mean": mean, "variance": variance, "stddev": variance.sqrt()}
    for name, want in wanted.items():
        try:
            found = getattr(p, name)
        except (AttributeError, NotImplementedError):
            continue
        if not isinstance(found, Tensor) or not bool(found.isfinite().all()) or found.numel() != want.numel():
            continue  # that of codes is not defined
        gap = float((found.double().flatten() - want.flatten()).abs().max())
        expect(gap <= 0.02 * float(1 + want.abs().max()), f"a {name} of the density's at {what}", f"{gap:.3g} from it")
    try:
        found = float(p.entropy())
    except (AttributeError, NotImplementedError):
        return
    expect(abs(found - entropy) < 0.03 * (1 + abs(entropy)), f"an entropy of {entropy:.4g} at {what}", f"{found:.4g}")


@check(
    "fixed-until-fitted",
    PRIOR,
    why="A prior that is fitted afterwards and takes gradients before is trained twice, and holds the posterior near noise.",
    mend="Return a fixed distribution, such as a uniform one, until `nll` or `fit_loss` was called in training mode.",
    applies=lambda subject: None if subject.cls.fitted == "after" else "it is trained with the model",
)
def fixed_until_fitted(subject: Subject) -> None:
    """Before it is fitted it sends no gradient to its parameters, and other weights leave its distribution as it is."""
    prior = subject.build().train()
    with seeded(1):
        prior.initialise(images(prior.image, 20))
    if prior.density == "none":
        raise NotApplicable("it has no density before it is fitted")
    z, label = latents_for(prior.latent, 4), labels_for(prior, 4)
    density = prior_at(prior, label).log_prob(z)
    parameters = [item for item in prior.parameters() if item.requires_grad]
    if density.requires_grad and parameters:
        found: Any = torch.autograd.grad(density.sum(), parameters, allow_unused=True)
        reached = any(item is not None and bool((item != 0).any()) for item in found)
        expect(not reached, "no gradient to its parameters before it is fitted", "one")


def _draws_alone(subject: Subject) -> str | None:
    if subject.cls.density == "exact" or "after" not in {subject.cls.fitted, *subject.cls.fits}:
        return "it has a density that its draws are held to, or is trained with the model"
    return None if "real" in subject.cls.supports else "its latents are categorical"


@check(
    "fitted-draws-come-near",
    PRIOR,
    why="A denoiser whose target has nothing to do with its input learns a constant, and its draws stay noise.",
    mend="Draw the noise once, and check the signs and weights of the steps of a draw.",
    applies=_draws_alone,
)
def fitted_draws_come_near(subject: Subject) -> None:
    """Fitted to latents about one point for 200 steps, its draws are nearer to that point than to the origin."""
    with seeded(1):
        prior = subject.build(latent=subject.latents("real")[0])
        prior.initialise(images(prior.image, 20))
    label = labels_for(prior, 64)
    parameters = [item for item in prior.parameters() if item.requires_grad]
    if not parameters:
        raise NotApplicable("it has no parameters to train")
    z = 2.0 + 0.3 * torch.randn(64, *prior.latent.shape, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    prior.train()
    with seeded(5):
        for _ in range(200):
            optimizer.zero_grad()
            prior.fit_loss(z, label).mean().backward()
            optimizer.step()
    with torch.no_grad(), seeded(6):
        p = prior_at(prior.eval(), label)
        drawn = p.sample() if tuple(p.batch_shape) else p.sample(torch.Size([64]))
    mean = float(drawn.double().mean())
    expect(1.0 < mean < 3.5, "draws about 2, where the latents are that it was fitted to", f"a mean of {mean:.3g}")


@check(
    "every-class-apart",
    PRIOR,
    why="A label prior in which two classes share a component draws one of them as the other.",
    mend="Give each class its own parameters, and index them by the label alone.",
    applies=lambda subject: None if subject.cls.conditional else "it is not conditional",
)
def every_class_apart(subject: Subject) -> None:
    """With moved weights every two classes differ in density and draws, whatever the order of the labels."""
    prior = ready(subject, moved=True)
    if prior.density == "none":
        raise NotApplicable("it has no density")
    classes = prior.image.classes or 1
    z = latents_for(prior.latent, classes)
    with torch.no_grad():
        table = torch.stack([prior_at(prior, torch.full((classes,), c)).log_prob(z) for c in range(classes)])
        mixed = prior_at(prior, torch.arange(classes).flip(0)).log_prob(z)
    for a, b in itertools.combinations(range(classes), 2):
        expect(not torch.equal(table[a], table[b]), f"another p(z|c) for classes {a} and {b}", "the same")
    want = table[torch.arange(classes).flip(0), torch.arange(classes)]
    expect(torch.allclose(mixed, want, atol=1e-4), "each latent under its own label", "under another's")
