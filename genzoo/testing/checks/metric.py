"""Checks of metrics: numbers that are bounded, whole, ordered as declared, and tell a good model from a bad one."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace
from typing import Any

import torch

from genzoo.errors import UsageError
from genzoo.interfaces import Measurement, RunView
from genzoo.randomness import seeded
from genzoo.testing.bench import generator
from genzoo.testing.building import difference, extreme_views, first_view, views_for
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.subject import Subject
from genzoo.testing.watching import watched
from genzoo.types import Kind, Split

METRIC = Kind.METRIC
QUANTITIES = ("distortion", "rate", "elbo", "nll")
"""What a number can promise to be, a mean over images."""
_NAME = re.compile(r"([a-z0-9]+([-_.][a-z0-9]+)*)?")


def evaluate_whole(metric: Any, view: RunView, seed: int = 3) -> Any:
    """What it makes of a run, called as the host calls it."""
    with torch.no_grad(), seeded(seed):
        return metric.evaluate(view)


def evaluate(metric: Any, view: RunView, seed: int = 3) -> dict[Any, Any]:
    """Its numbers of a run."""
    return dict(evaluate_whole(metric, view, seed))


def promised(metric: Any, subject: Subject, found: dict[str, float]) -> dict[str, str]:
    """Number → what it says to estimate: as `estimates` has it, by its own name, or by the metric's."""
    names = {name: name for name in found if name in QUANTITIES}
    if subject.component.name in QUANTITIES and "" in found:
        names[""] = subject.component.name
    units = found.units if isinstance(found, Measurement) else {}
    names = {name: what for name, what in names.items() if units.get(name, metric.unit) == "nats"}
    return names | {name: what for name, what in metric.estimates.items() if name in found}


@check(
    "finite-numbers",
    METRIC,
    why="Numbers are written to JSON and compared across runs.",
    mend="Return plain finite floats by name; the empty name is the metric's own.",
)
def finite_numbers(subject: Subject) -> None:
    """It returns finite Python floats, one at least."""
    metric = subject.build()
    found = evaluate(metric, first_view(metric, subject))
    expect(found, "a number at least", "none")
    for name, value in found.items():
        expect(isinstance(value, (int, float)), f"a float at {name!r}", type(value).__name__)
        expect(math.isfinite(value), f"a finite {name!r}", value)


@check(
    "number-names-plain",
    METRIC,
    why="The names become columns, keys and parts of flags.",
    mend='Name numbers in lower case, parts joined by - or _; "" for the only one.',
)
def number_names_plain(subject: Subject) -> None:
    """The names of its numbers are plain."""
    metric = subject.build()
    for name in evaluate(metric, first_view(metric, subject)):
        expect(isinstance(name, str) and _NAME.fullmatch(name), "a plain name", repr(name))


@check(
    "within-bounds",
    METRIC,
    why="Tables and figures scale by the declared bounds, and a score above its bound is a wrong score.",
    mend="Declare the bounds that the number has, or correct it.",
)
def within_bounds(subject: Subject) -> None:
    """Its own number is within the declared bounds, for ordinary and for extreme models."""
    metric = subject.build()
    low, high = metric.bounds
    expect(low is None or high is None or low < high, "bounds in order", metric.bounds)
    views = [*views_for(metric, subject), first_view(metric, subject, seed=1)]
    with contextlib.suppress(NotApplicable):
        views += extreme_views(metric)
    for view in views:
        try:
            value = _own(evaluate(metric, view))
        except UsageError:
            continue
        inside = (low is None or value >= low - 1e-6) and (high is None or value <= high + 1e-6)
        expect(inside, f"a number in {metric.bounds}", f"{value:.6g} for {type(view.model).__name__}")


def _own(found: dict[str, float]) -> float:
    return found.get("", next(iter(found.values())))


@check(
    "tells-good-from-bad",
    METRIC,
    why="A score that does not move between a perfect model and a useless one, or moves the wrong way, ranks noise.",
    mend="Check the axes of every reduction (a reshape where a transpose is meant), and declare the direction.",
    applies=lambda subject: None if subject.cls.direction else "it declares no direction",
)
def tells_good_from_bad(subject: Subject) -> None:
    """The best model of the bench beats the worst, in the declared direction, by a fair share of a bounded range."""
    metric = subject.build()
    expect(metric.direction in {"higher", "lower"}, '"higher" or "lower"', metric.direction)
    best, worst = (_own(evaluate(metric, view)) for view in extreme_views(metric, sizes=(600, 300)))
    gain = best - worst if metric.direction == "higher" else worst - best
    if not gain and not _reads(metric, subject):
        raise NotApplicable("it reads no images, and is no score of what the weights do")
    low, high = metric.bounds
    least = 0.1 * (high - low) if low is not None and high is not None else 0.0
    expect(
        gain > least,
        f"the best model to be {metric.direction} by more than {least:g}",
        f"{best:.4g} against {worst:.4g}",
    )


def _reads(metric: Any, subject: Subject) -> set[str]:
    """The splits that it reads of a run."""
    view, read = watched(first_view(metric, subject))
    evaluate(metric, view)
    return read


@check(
    "protocol-stated",
    METRIC,
    why="A number without its protocol (samples, images, split) cannot be compared with another.",
    mend="Return one line from `protocol`: what is measured, over which images, with how many samples.",
)
def protocol_stated(subject: Subject) -> None:
    """It states its protocol in one line."""
    protocol = subject.build().protocol
    expect(isinstance(protocol, str) and protocol.strip() and "\n" not in protocol, "one line", repr(protocol))


@check(
    "unit-stated",
    METRIC,
    why="Nats, bits and nats per pixel differ by large factors; an unbounded number needs its unit.",
    mend='Set unit, such as "nats", or bounds for a score without one.',
)
def unit_stated(subject: Subject) -> None:
    """It has a unit, or bounds, unless each of its numbers has a unit of its own."""
    metric = subject.build()
    found: Any = evaluate_whole(metric, first_view(metric, subject))
    if set(found) <= set(getattr(found, "units", {})):
        return
    expect(metric.unit or None not in metric.bounds, "a unit, or two bounds", "neither")


@check(
    "order-of-images-free",
    METRIC,
    why="The order of a split is chance.",
    mend="Use all images that are asked for; pair none with its neighbour.",
)
def order_of_images_free(subject: Subject) -> None:
    """The images in another order give the same number, to sampling error."""
    metric = subject.build()
    view = _extreme(metric, sizes=(96, 48))
    again = [_own(evaluate(metric, view, seed)) for seed in (1, 2, 3)]
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    splits = {**view.splits, "test": view.split("test").select(order)}
    moved = _own(evaluate(metric, _with(view, splits), 4))
    spread = max(again) - min(again)
    slack = 3 * spread + 0.15 * _range(metric, again)
    expect(abs(moved - sum(again) / 3) <= slack, f"{sum(again) / 3:.5g} to within {slack:.2g}", f"{moved:.5g}")


def _range(metric: Any, values: list[float]) -> float:
    low, high = metric.bounds
    return high - low if low is not None and high is not None else abs(sum(values) / len(values))


def _extreme(metric: Any, **how: Any) -> RunView:
    view = extreme_views(metric, **how)[0]
    try:
        metric.check(view.model, view.dataset.spec)
    except UsageError as error:
        raise NotApplicable(str(error)) from error
    return view


def _with(view: RunView, splits: Any) -> RunView:
    return replace(view, splits=splits)


@check(
    "every-image-counts",
    METRIC,
    why="An nll that drops the remainder of the last batch, or a sample count, is another number than the published one.",
    mend="Weight each batch by its size; keep the last one. A number called nll or elbo is a mean over images.",
    applies=lambda subject: "it may render its own images" if subject.cls.needs_factors else None,
)
def every_image_counts(subject: Subject) -> None:
    """The last image counts as much as the others: wherever it stands, and whatever is left for the last batch.

    A number that promises a mean, by `estimates`, by a name such as nll or by values per image, is for 13 images the mean of
    those of 8 and of 5. Others, such as an information, are no mean of those of two parts.
    """
    metric = subject.build()

    def mean(whole: RunView, of: Split) -> tuple[float, float]:
        view = _with(whole, {**whole.splits, "test": of})
        values = [_own(evaluate(metric, view, seed)) for seed in range(4)]
        return sum(values) / 4, max(values) - min(values)

    for count in (17, 33, 65, 101):
        whole = _extreme(metric, sizes=(24, count))
        split = whole.split("test")
        views = [split, *(_spoilt(split, slice(place, place + 1)) for place in (3, count - 1))]
        made = [evaluate(metric, _with(whole, {**whole.splits, "test": item})) for item in views]
        plain, early, late = map(_own, made)
        left_out = early != plain and late == plain
        if abs(plain * count - round(plain * count)) < 1e-6:
            # A share of the images moves in steps, so that one image may leave it; then its other numbers tell.
            left_out = left_out and difference(made[0], made[2]) is None
        expect(not left_out, f"another number where the last of {count} images is another", f"{plain:.5g} again")
        # With one image that is unlike the others, alone in a last batch of any usual size.
        split = _spoilt(whole.split("test"), slice(count - 1, None))
        # What other orders of the other images change is noise: a score may fit a classifier to half of them.
        last = torch.tensor([count - 1])
        orders = [torch.cat([torch.randperm(count - 1, generator=generator(seed)), last]) for seed in (1, 2)]
        (value, noise), (want, other) = (
            mean(whole, item) for item in (split, split.select(torch.arange(count).roll(1)))
        )
        seen = [value, *(mean(whole, split.select(order))[0] for order in orders)]
        slack = 0.03 * abs(want) + max(noise, other) + 2 * (max(seen) - min(seen)) + (0.1 if metric.unit else 1e-6)
        expect(abs(value - want) <= slack, f"{want:.5g} with the last of {count} images first too", f"{value:.5g}")
    whole = _extreme(metric, sizes=(24, 13))
    found: Any = evaluate_whole(metric, whole)
    if "" in promised(metric, subject, found) or getattr(found, "per_image", None) is not None:
        # The last images are spoilt, so that leaving them out shows.
        split = _spoilt(whole.split("test"), slice(8, None))
        parts = [mean(whole, split.select(part))[0] for part in (slice(0, 8), slice(8, 13))]
        value, want = mean(whole, split)[0], (8 * parts[0] + 5 * parts[1]) / 13
        slack = 0.03 * abs(want) + 0.1
        expect(abs(value - want) <= slack, f"{want:.5g} to within {slack:.2g}", f"{value:.5g}")


def _spoilt(split: Split, part: slice) -> Split:
    """The split with noise for some of its images."""
    images = split.images.clone()
    images[part] = torch.rand(images[part].shape, generator=torch.Generator().manual_seed(4))
    return replace(split, images=images)


@check(
    "empty-split-refused",
    METRIC,
    why="The mean over no image is nan, and nan sorts anywhere.",
    mend="Read splits by run.split or run.batch, which refuse empty ones; raise a UsageError otherwise.",
)
def empty_split_refused(subject: Subject) -> None:
    """A run without images is refused."""
    metric = subject.build()
    view = first_view(metric, subject)
    seen, read = watched(view)
    evaluate(metric, seen)
    if not read:
        raise NotApplicable("it reads no images")
    empty = {name: split.select(slice(0, 0)) for name, split in view.splits.items()}
    try:
        found = evaluate(metric, _with(view, empty))
    except UsageError:
        return
    except Exception as error:
        raise CheckFailure("a UsageError for no images", f"{type(error).__name__}: {error}") from error
    raise CheckFailure("a UsageError for no images", found)
