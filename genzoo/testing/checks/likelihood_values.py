"""Checks that a likelihood agrees with itself away from its start, and that its declared least distortion is the least."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo.randomness import seeded
from genzoo.testing.bench import GREY, images
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.likelihood import LIKELIHOOD, at_points, density_of, raw
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
    for scale in (0.5, 1.0, 2.0):
        with torch.no_grad(), seeded(3):
            p = likelihood(raw(likelihood, _DOT, 1, scale=scale, dtype=torch.float64))
            name, points, volume, total = density_of(p)
            expect(abs(total - 1) < 0.02, f"a density that sums to 1 over {name}", f"{total:.4f}")
            logs = at_points(p, points).double()
            weights = logs.exp() * volume / total
            drawn = p.sample(torch.Size([_DRAWS])).flatten().double()
        mean, square = float((weights * points).sum()), float((weights * points.square()).sum())
        for what, want, values in (("mean", mean, drawn), ("mean square", square, drawn.square())):
            gap = abs(float(values.mean()) - want) / (float(values.std()) / _DRAWS**0.5 + 1e-3 * (1 + abs(want)))
            expect(gap < 6.5, f"samples whose {what} is the density's at scale {scale}", f"{gap:.1f} errors from it")
        spread = square - mean**2
        if float((weights * (points - mean) ** 4).sum()) > 8 * spread**2:
            continue  # a grid misses too much of heavy tails
        for what, want in (("mean", mean), ("variance", spread), ("stddev", max(spread, 0.0) ** 0.5)):
            try:
                found = float(getattr(p, what))
            except (AttributeError, NotImplementedError):
                continue
            good = abs(found - want) <= 0.02 * (abs(want) + 0.05)
            # Grey levels of a Bernoulli have its mean, and no other moment of its own two values.
            expect(good or name != "the real line", f"a {what} of {want:.4g}, the density's", f"{found:.4g}")


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
