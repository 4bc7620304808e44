"""Checks of what a loss makes of better and worse outputs, of β, and of extreme and imprecise input."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from genzoo.testing.building import cases_for
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.checks.loss import LOSS, close, measure, objective
from genzoo.testing.outputs import Case
from genzoo.testing.subject import Subject
from genzoo.types import Capability


def _beta(subject: Subject) -> str | None:
    return None if "beta" in subject.build().quantities else "it has no beta"


@check(
    "falls-with-distortion",
    LOSS,
    why="An objective that does not fall when reconstructions improve, or rises, trains towards noise.",
    mend="Minimise: the distortion -log p(x|z) enters with a plus sign, an elbo with a minus sign.",
)
def falls_with_distortion(subject: Subject) -> None:
    """Better reconstructions, with all else equal, give a lower objective."""
    loss = subject.build()
    for case in cases_for(loss):
        target = 4 * (case.image - 0.5)
        better, worse = case.map({"logits": target}), case.map({"logits": -target})
        low, high = objective(loss, better), objective(loss, worse)
        expect(low < high, f"less than {high:.5g} for better reconstructions", f"{low:.5g}")


@check(
    "beta-zero-removes-a-term",
    LOSS,
    why="β is the weight of the rate; at zero the rate must be gone, or β = 0 is not an autoencoder.",
    mend="Multiply the term by β, and by nothing that offsets it.",
    applies=_beta,
)
def beta_zero_removes_a_term(subject: Subject) -> None:
    """A term that β changes is zero at β = 0."""
    loss = subject.build()
    for case in cases_for(loss):
        zero, one, two = (measure(loss, case, beta=value).terms for value in (0.0, 1.0, 2.0))
        for name in one:
            if not close(float(one[name]), float(two[name]), 1e-9):
                expect(close(float(zero[name]), 0.0, 1e-9), f"{name} of zero at β = 0", float(zero[name]))


@check(
    "rises-with-beta",
    LOSS,
    why="A larger β must press the rate harder; a wrong sign rewards a posterior that leaves the prior.",
    mend="Add β times the rate; do not subtract it.",
    applies=_beta,
)
def rises_with_beta(subject: Subject) -> None:
    """With a positive rate the objective does not fall as β grows."""
    loss = subject.build()
    for case in cases_for(loss, n=8):
        values = [objective(loss, case, beta=beta) for beta in (0.0, 0.5, 1.0, 4.0)]
        falls = any(later < earlier - 1e-9 for earlier, later in pairwise(values))
        expect(not falls, "an objective that rises with β = 0, 0.5, 1, 4", ", ".join(f"{v:.5g}" for v in values))


@check(
    "every-level-counts",
    LOSS,
    why="A hierarchical model whose lower levels are free of charge ignores its prior.",
    mend="Sum over all of `rates`, or require one-level.",
    applies=lambda subject: "it takes one level only" if _one_level(subject) else None,
)
def every_level_counts(subject: Subject) -> None:
    """With two levels, the posterior of each changes the objective."""
    loss = subject.build()
    case = next(item for item in cases_for(loss) if item.mean.shape[0] == 2)
    plain = objective(loss, case)
    for level in (0, 1):
        # the lower level's likelihood reads its sample, which stays as it is
        moved = case.log_variance.clone()
        moved[level] -= 2.0
        noise = case.noise.clone()
        noise[level] *= torch.e
        other = objective(loss, case.map({"log_variance": moved, "noise": noise}))
        expect(not close(plain, other, 1e-9), f"another objective for another posterior of level {level}", "the same")


def _one_level(subject: Subject) -> bool:
    loss = subject.build()
    one = {Capability.ONE_LEVEL, Capability.CATEGORICAL_LATENT} & set(loss.requires)
    return bool(one) or Capability.HIERARCHICAL in loss.forbids


@check(
    "repeated-samples-change-nothing",
    LOSS,
    why="K samples must be averaged, in nats or in weights; summed, the terms grow with K.",
    mend="Take the mean over the sample dimension, or the log of the mean weight: logsumexp - log K.",
    applies=lambda subject: "it declares batch_coupled" if subject.build().batch_coupled else None,
)
def repeated_samples(subject: Subject) -> None:
    """The same samples twice over give the same objective."""
    loss = subject.build()
    for case in cases_for(loss, samples=max(2, loss.samples)):
        once = objective(loss, case)
        twice = objective(loss, case.map({"noise": torch.cat([case.noise, case.noise], dim=1)}))
        expect(close(once, twice, 1e-5), f"{once:.6g} for each sample twice", f"{twice:.6g}")


@check(
    "stable-at-extremes",
    LOSS,
    why="Early and late in training logits and variances are extreme; one inf ends the run.",
    mend="Work with log-probabilities and logits: logsumexp, softplus, log_prob; take no log of a probability.",
)
def stable_at_extremes(subject: Subject) -> None:
    """At extreme logits, means and variances the objective and its gradient are finite."""
    loss = subject.build()
    for case in cases_for(loss):
        for scale, spread in ((1e3, 0.0), (1.0, 12.0), (1.0, -12.0)):
            leaves = (case.mean * scale**0.5, case.log_variance.clamp(-1, 1) + spread, case.logits * scale)
            leaves = tuple(item.float().clone().requires_grad_(True) for item in leaves)
            extreme = case.to(torch.float32).with_leaves(*leaves)
            found = measure(loss, extreme).objective
            what = f"logits of {scale:g} and log-variances near {spread:g}"
            expect(bool(found.isfinite()), f"a finite objective at {what}", float(found))
            found.backward()
            for leaf in leaves:
                good = leaf.grad is None or bool(leaf.grad.isfinite().all())
                expect(good, f"a finite gradient at {what}", "inf or nan")


@check(
    "bfloat16-close",
    LOSS,
    why="In mixed precision the posterior may come in bfloat16; sums over hundreds of pixels must not be made in it.",
    mend="Take terms to float32 before sums and logarithms; genzoo.estimators does.",
)
def bfloat16_close(subject: Subject) -> None:
    """With images and logits rounded to bfloat16 the objective is within three per cent of float32's terms."""
    loss = subject.build()
    case = cases_for(loss)[0].to(torch.float32)
    rounded = case.map({name: getattr(case, name).bfloat16().float() for name in ("logits", "image")})
    halves = case.map({name: getattr(rounded, name) for name in ("logits", "image")})
    posterior = {name: getattr(case, name).bfloat16() for name in ("mean", "log_variance", "noise")}
    plain, half = measure(loss, case), objective(loss, halves.map(posterior))
    slack = 0.03 * sum(abs(float(term)) for term in plain.terms.values())
    # Draws in another precision are other draws.
    values = [float(measure(loss, case, seed=seed).objective) for seed in range(2, 8)]
    slack += 4 * (max(values) - min(values))
    near = abs(float(plain.objective) - half) <= slack
    expect(near, f"{float(plain.objective):.5g} to within {slack:.2g}, 3 % of its terms", f"{half:.5g}")


@check(
    "gradient-reaches-both-sides",
    LOSS,
    why="Without a gradient at the likelihood nothing is reconstructed; without one at the posterior nothing is encoded.",
    mend="Detach neither distortion nor rates.",
)
def gradient_reaches_both_sides(subject: Subject) -> None:
    """The likelihood and the posterior both get a gradient."""
    loss = subject.build()
    for case in cases_for(loss, rate=2.0):
        leaves: list[Tensor] = [item.clone().requires_grad_(True) for item in case.leaves()]
        objective_: Any = measure(loss, case.with_leaves(leaves[0], leaves[1], leaves[2])).objective
        if not objective_.requires_grad:
            raise CheckFailure("an objective with a gradient", "one without")
        objective_.backward()
        for name, leaf in (("the posterior", leaves[0]), ("the likelihood", leaves[2])):
            reached = leaf.grad is not None and bool((leaf.grad != 0).any())
            expect(reached, f"a gradient at {name}", "none")


@check(
    "every-sample-counts",
    LOSS,
    why="Samples that are drawn and not used cost time and lower no variance; the bound is then another than its K says.",
    mend="Take the mean, or the log of the mean weight, over the sample dimension; index no single sample.",
)
def every_sample_counts(subject: Subject) -> None:
    """Of several samples, each changes the objective."""
    loss = subject.build()
    samples = max(3, loss.samples)
    for case in cases_for(loss, samples=samples):
        if case.categorical:
            continue
        plain = objective(loss, case)
        for k in range(samples):
            noise = case.noise.clone()
            noise[:, k] += 1.0
            changed = not close(plain, objective(loss, case.map({"noise": noise})), 1e-12)
            expect(changed, f"another objective for another sample {k + 1} of {samples}", "the same")


@check(
    "distortion-grows-with-pixels",
    LOSS,
    why="Distortion is in nats per image; averaged over pixels, the same β weighs the rate a hundred times more on larger "
    "images.",
    mend="Use the distortion that `terms` is given, summed over pixels; or name the term in `surrogates`, with the reason.",
)
def distortion_grows_with_pixels(subject: Subject) -> None:
    """Where each image is there twice side by side, a term that rises with the distortion rises by twice as much."""
    loss = subject.build()
    for case in cases_for(loss, samples=max(2, loss.samples)):

        def terms(wide: bool, shift: float, case: Case = case) -> dict[str, float]:
            target = case.logits + shift * (0.5 - case.image)
            repeats = (1, 1, 1, 2 if wide else 1)
            grown = case.map({"logits": target.repeat(repeats), "image": case.image.repeat(repeats)})
            return {name: float(value) for name, value in measure(loss, grown).terms.items()}

        plain, worse = terms(False, 0.0), terms(False, 0.5)
        wide, wide_worse = terms(True, 0.0), terms(True, 0.5)
        for name in plain:
            rise, wide_rise = worse[name] - plain[name], wide_worse[name] - wide[name]
            if name in loss.surrogates or rise < 1e-3:
                continue
            good = wide_rise > 1.4 * rise
            expect(good, f"{name} to rise by about {2 * rise:.4g} on images twice as wide", f"{wide_rise:.4g}")
