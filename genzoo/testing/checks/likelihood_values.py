"""Checks that a likelihood agrees with itself away from its start, and that its declared least distortion is the least."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo.randomness import seeded
from genzoo.testing.bench import GREY, images
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.likelihood import LIKELIHOOD, at_points, density_of, raw, together
from genzoo.testing.subject import Subject
from genzoo.types import ImageSpec

_DRAWS = 6000
_DOT = ImageSpec((1, 1, 1))


def _moved(subject: Subject) -> Any:
    likelihood = subject.build().double()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=draw))
    return likelihood


@check(
    "agrees-with-itself",
    LIKELIHOOD,
    why="A scale of 1 is its own square: σ² taken for σ shows where the scale is another.",
    mend="Compute log_prob, sample, mean and variance from one set of parameters.",
)
def agrees_with_itself(subject: Subject) -> None:
    """At other raw output and moved parameters, samples, mean, spread and entropy are those of the density.

    Draws of 6000 are held to 6.5 standard errors: a right likelihood fails with a probability below 1e-8.
    """
    likelihood = _moved(subject)
    for scale in (0.02, 0.3, 0.5, 1.0, 2.0):
        with torch.no_grad(), seeded(3):
            p = likelihood(raw(likelihood, _DOT, 1, scale=scale, dtype=torch.float64))
            name, points, volume, total = density_of(p, likelihood.levels)
            expect(abs(total - 1) < 0.02, f"a density that sums to 1 over {name}", f"{total:.4f}")
            logs = at_points(p, points).double()
            weights = logs.exp() * volume / total
            drawn = p.sample(torch.Size([_DRAWS])).flatten().double()
        mean, square = float((weights * points).sum()), float((weights * points.square()).sum())
        # About its own mean: a small spread drowns in the square of the mean.
        about, values_about = float((weights * (points - mean).square()).sum()), (drawn - mean).square()
        for what, want, values in (("mean", mean, drawn), ("spread", about, values_about)):
            # What happens less often than once in 6000 draws is seen in the density alone.
            exact = (points - mean) if what == "mean" else (points - mean).square() - about
            deviation = max(float(values.std()), float((weights * exact.square()).sum()) ** 0.5)
            error = deviation / _DRAWS**0.5 + 1e-3 * (about**0.5 if what == "mean" else about) + 1e-9
            gap = abs(float(values.mean()) - want) / error
            expect(gap < 6.5, f"samples whose {what} is the density's at scale {scale}", f"{gap:.1f} errors from it")
        spread = square - mean**2
        far = (points - mean).abs() > 0.25 * float(points.max() - points.min())
        if name == "the real line" and float((weights * (points - mean).square())[far].sum()) > 1e-3 * spread:
            continue  # a grid misses too much of tails so heavy
        for what, want in (("mean", mean), ("variance", spread), ("stddev", max(spread, 0.0) ** 0.5)):
            try:
                found = float(getattr(p, what))
            except (AttributeError, NotImplementedError):
                continue
            good = abs(found - want) <= 0.02 * (abs(want) + 0.05)
            if name == "the values 0 and 1" and what == "mean":
                expect(good, f"a mean of {want:.4g}, the density's", f"{found:.4g}")
            # Grey levels of a Bernoulli have its mean, and no other moment of its own two values.
            expect(good or name != "the real line", f"a {what} of {want:.4g}, the density's", f"{found:.4g}")


@check(
    "draws-have-its-spread",
    LIKELIHOOD,
    why="Samples of p(x|z) that are its means show no noise, and every number of draws is one of means.",
    mend="Leave `draw` to the base class, or take it from `likelihood.sample()`.",
)
def draws_have_its_spread(subject: Subject) -> None:
    """What `draw` gives has the spread of samples in [0, 1], within a factor of two."""
    likelihood = _moved(subject)
    for scale in (0.3, 1.0):
        with torch.no_grad(), seeded(3):
            value = raw(likelihood, ImageSpec((1, 2, 2)), 1, scale=scale, dtype=torch.float64)
            p = likelihood(value.expand(400, *value.shape[1:]))
            drawn = p.sample().clamp(0, 1).double()
            want, found = drawn.std(0), likelihood.draw(p).double().std(0)
        within = ((drawn > 0) & (drawn < 1)).double().mean(0) > 0.5
        seen = (want > 0.1) | (within & (want > 1e-4))
        if bool(seen.any()):
            share = found[seen] / want[seen]
            worst = float(share[share.log().abs().argmax()])
            expect(0.5 < worst < 2, f"draws with about the spread of samples at scale {scale}", f"{worst:.2f} of it")


@check(
    "entropy-is-the-density's",
    LIKELIHOOD,
    why="A verdict, or a least distortion, that is made of an entropy of another distribution judges every run wrongly.",
    mend="Compute `entropy` from the same parameters as log_prob, summed over the image; or leave it out.",
)
def entropy_is_the_densitys(subject: Subject) -> None:
    """Where it offers an entropy, that of a pixel is its density's, and that of twenty equal pixels twenty times as much."""
    likelihood = _moved(subject)
    for scale in (0.02, 0.5, 2.0):
        value = raw(likelihood, _DOT, 1, scale=scale, dtype=torch.float64)
        with torch.no_grad():
            p = likelihood(value)
            name, points, volume, total = density_of(p, likelihood.levels)
            if bool((at_points(p, torch.rand(64, dtype=torch.float64)).isnan()).any()):
                continue
            try:
                found = p.entropy()
                many = likelihood(value.expand(1, -1, 4, 5)).entropy()
            except (AttributeError, NotImplementedError) as error:
                raise NotApplicable("its distribution offers no entropy") from error
            logs = at_points(p, points).double().clamp(min=-1e4)
            want = -float((logs.exp() * volume * logs).sum() / total)
        expect(tuple(found.shape) == (1,), "an entropy of shape [1]", list(found.shape))
        if name in {"the real line", "the interval [0, 1]", "the values 0 and 1"}:
            good = abs(float(found) - want) <= 0.02 * (1 + abs(want))
            expect(good, f"an entropy of {want:.4g} over {name}", f"{float(found):.4g}")
        good = together(likelihood) or abs(float(many) - 20 * float(found)) <= 1e-4 * (1 + abs(float(many)))
        expect(good, f"an entropy of {20 * float(found):.4g} for 20 equal pixels", f"{float(many):.4g}")


@check(
    "gradient-matches-differences",
    LIKELIHOOD,
    why="A gradient of its own that is wrong trains something else than what the log shows.",
    mend="Test a custom backward with torch.autograd.gradcheck, for raw output and for the image.",
)
def gradient_matches_differences(subject: Subject) -> None:
    """In float64 the gradients of log p(x|z) to the raw output and to the image are those of finite differences."""
    likelihood = _moved(subject)
    spec = ImageSpec((1, 2, 2))
    for scale in (0.02, 1.0):
        value = raw(likelihood, spec, 2, scale=scale, dtype=torch.float64)
        image = images(spec, 2, dtype=torch.float64) * 0.8 + 0.1
        for what, given in (("raw output", value), ("image", image)):
            leaf = given.clone().requires_grad_(True)
            used = (leaf, image) if what == "raw output" else (value, leaf)
            total = likelihood(used[0]).log_prob(used[1]).sum()
            found = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
            if found is None:
                continue
            step = 1e-5 * torch.randn(given.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
            with torch.no_grad():
                ends = [
                    (value + sign * step, image) if what == "raw output" else (value, image + sign * step)
                    for sign in (1, -1)
                ]
                above, below = (likelihood(a).log_prob(b).sum() for a, b in ends)
            want, along = float(above - below) / 2, float((found * step).sum())
            good = abs(want - along) <= 1e-3 * abs(want) + 1e-7
            expect(good, f"a slope of {want:.6g} along one direction of the {what}", f"{along:.6g}")


@check(
    "least-distortion-is-least",
    LIKELIHOOD,
    why="A verdict on a run compares its distortion with this number; one that is too high calls a good fit impossible.",
    mend="Return −log p(x|z) at the raw output that fits x best, or None where it is not known.",
)
def least_distortion_is_least(subject: Subject) -> None:
    """No raw output has a distortion below `least_distortion`, and one that is fitted comes near it."""
    likelihood = subject.build()
    image = images(GREY, 3) * 0.8 + 0.1
    image[1] = (image[1] > 0.5).float()
    least = likelihood.least_distortion(image)
    if least is None:
        raise NotApplicable("it gives no least distortion")
    expect(tuple(least.shape) == (3,), "one number an image, [3]", list(least.shape))
    value: Tensor = (0.1 * raw(likelihood, GREY, 3)).requires_grad_(True)
    optimizer = torch.optim.Adam([value], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        loss: Any = -likelihood(value).log_prob(image).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = -likelihood(value).log_prob(image)
    slack = 0.02 * (found.abs() + 1)
    expect(bool((found >= least - slack).all()), f"no less than {least.tolist()}", found.tolist())
    expect(
        bool((found <= least + 0.1 * (least.abs() + 10)).all()), f"about {least.tolist()} when fitted", found.tolist()
    )


@check(
    "leading-dimensions-agree",
    LIKELIHOOD,
    why="With several samples the raw output is [K, B, C, H, W]; a split or index counted from the front mixes images up.",
    mend="Count dimensions from the end: chunk(2, -3), and reduce over (-3, -2, -1).",
)
def leading_dimensions_agree(subject: Subject) -> None:
    """With samples and images in front, each image has the log p(x|z), the mean and the picture that it has alone."""
    likelihood = subject.build().double()
    value = raw(likelihood, GREY, 3, 4, dtype=torch.float64)
    image = images(GREY, 4, dtype=torch.float64)
    with torch.no_grad():
        whole = likelihood(value)
        seen, shown = whole.log_prob(image), likelihood.display(whole)
        for k, b in ((0, 0), (1, 2), (2, 3)):
            alone = likelihood(value[k, b : b + 1])
            same = torch.allclose(seen[k, b], alone.log_prob(image[b : b + 1])[0])
            expect(same, f"the log p(x|z) of image {b} at sample {k} that it has alone", "another")
            same = torch.allclose(shown[k, b], likelihood.display(alone)[0])
            expect(same, f"the picture of image {b} at sample {k} that it has alone", "another")
