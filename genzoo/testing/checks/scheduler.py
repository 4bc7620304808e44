"""Checks of schedulers: pure, bounded, as declared, whatever the length of the run."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

from genzoo.errors import GenzooError
from genzoo.interfaces.scheduler import Progress
from genzoo.testing.building import moments
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.checks.every_kind import import_once
from genzoo.testing.subject import Subject
from genzoo.types import Kind

SCHEDULER = Kind.SCHEDULER
_SLACK = 1e-9


def _runs() -> list[list[Progress]]:
    return [moments(24, 8), moments(1, 1), moments(3, 50), moments(100, 2)]


def _factors(scheduler: Any, run: list[Progress]) -> list[float]:
    return [scheduler.factor(moment) for moment in run]


@check(
    "finite-float",
    SCHEDULER,
    why="The factor multiplies β or a learning rate, and is written to JSON.",
    mend="Return a plain float; guard divisions by a length that may be zero.",
)
def finite_float(subject: Subject) -> None:
    """The factor is a finite Python float at every step."""
    scheduler = subject.build()
    for run in _runs():
        for moment in run:
            found = scheduler.factor(moment)
            expect(type(found) is float, "a float", f"{type(found).__name__} at {moment}")
            expect(math.isfinite(found), "a finite factor", f"{found} at {moment}")


@check(
    "within-bounds",
    SCHEDULER,
    why="`genzoo run` warns of a final β, and figures scale their axes, by the declared bounds.",
    mend="Clamp the factor, or declare the bounds that it has with these options.",
)
def within_bounds(subject: Subject) -> None:
    """The factor stays within the declared bounds."""
    scheduler = subject.build()
    low, high = scheduler.bounds
    for run in _runs():
        for moment, factor in zip(run, _factors(scheduler, run), strict=True):
            expect(low - _SLACK <= factor <= high + _SLACK, f"a factor in [{low}, {high}]", f"{factor} at {moment}")


@check(
    "bounds-in-order",
    SCHEDULER,
    why="Bounds that are infinite or out of order promise nothing.",
    mend="Declare bounds = (least, greatest), both finite.",
)
def bounds_in_order(subject: Subject) -> None:
    """The declared bounds are finite and in order."""
    low, high = subject.build().bounds
    expect(math.isfinite(low) and math.isfinite(high) and low <= high, "finite bounds, least first", f"{low}, {high}")


@check(
    "monotone-as-declared",
    SCHEDULER,
    why="A warm-up that dips moves β back while the posterior has gone on.",
    mend="Declare the direction that the factor has, or monotone = None.",
    applies=lambda subject: None if subject.build().monotone else "it does not declare to be monotone",
)
def monotone_as_declared(subject: Subject) -> None:
    """A factor declared monotone never turns back."""
    scheduler = subject.build()
    expect(scheduler.monotone in {"increasing", "decreasing"}, '"increasing" or "decreasing"', scheduler.monotone)
    sign = 1 if scheduler.monotone == "increasing" else -1
    for run in _runs():
        factors = _factors(scheduler, run)
        for index, (now, later) in enumerate(pairwise(factors)):
            expect(sign * (later - now) >= -_SLACK, f"a factor {scheduler.monotone}", f"{now} then {later} at {index}")


@check(
    "reaches-its-end",
    SCHEDULER,
    why="A warm-up that ends short of its bound trains with another β to the end than the one configured.",
    mend="Let the factor reach the declared bound, or declare the bound that it reaches.",
    applies=lambda subject: None if subject.build().monotone else "it does not declare to be monotone",
)
def reaches_its_end(subject: Subject) -> None:
    """A monotone factor is at its bound at the end of a long run."""
    scheduler = subject.build()
    low, high = scheduler.bounds
    last = scheduler.factor(moments(5000, 1)[-1])
    want = high if scheduler.monotone == "increasing" else low
    expect(abs(last - want) <= 0.02 * max(high - low, _SLACK) + _SLACK, f"a factor of {want} in the end", last)


@check(
    "period-as-declared",
    SCHEDULER,
    why="Figures and warnings rely on the declared period.",
    mend="Declare the period in epochs, with these options; None if it does not repeat.",
    applies=lambda subject: None if subject.build().period else "it declares no period",
)
def period_as_declared(subject: Subject) -> None:
    """The factor repeats after the declared period, and changes within it."""
    scheduler = subject.build()
    period = scheduler.period
    steps, epochs = 60, 400
    shift = period * steps
    expect(abs(shift - round(shift)) < 1e-6 or period > 1 / steps, "a period of some steps", period)
    settled = scheduler.settled_after(Progress(1, 0, steps, epochs)) or epochs
    run = moments(epochs, steps, count=min(epochs, math.ceil(min(settled, 3 * period + 2))))
    whole = round(shift)
    factors = _factors(scheduler, run)
    for index in range(max(0, len(factors) - whole - steps)):
        now, later = factors[index], factors[index + whole]
        expect(abs(now - later) <= 1e-6, f"{now} again after {period} epochs", f"{later}, at step {index}")
    expect(len({round(item, 9) for item in factors[: whole + 1]}) > 1, "a factor that changes within a period", "none")


@check(
    "pure",
    SCHEDULER,
    why="A resumed run asks for the factor of step 10 000 first; one that counts its calls answers for step 1.",
    mend="Compute the factor from `progress` and the options alone; keep no state.",
)
def pure(subject: Subject) -> None:
    """The factor depends on progress alone: asked in another order, it answers the same."""
    scheduler = subject.build()
    run = moments(24, 8)
    forwards = _factors(scheduler, run)
    backwards = [scheduler.factor(moment) for moment in reversed(run)][::-1]
    fresh = [subject.build().factor(moment) for moment in run]
    for moment, first, later, alone in zip(run, forwards, backwards, fresh, strict=True):
        seen = f"{first} in training's order, {later} backwards, {alone} asked alone, at {moment}"
        expect(first == later == alone, "the same factor in any order", seen)


@check(
    "clamps-past-its-end",
    SCHEDULER,
    why="A run that is resumed with more epochs goes past the end of the first one.",
    mend="Clamp the fraction done to 1.",
)
def clamps_past_its_end(subject: Subject) -> None:
    """Past the last epoch the factor stays finite and within its bounds."""
    scheduler = subject.build()
    low, high = scheduler.bounds
    for moment in (Progress(10, 79, 8, 5), Progress(10**6, 10**7, 10, 5)):
        try:
            found = scheduler.factor(moment)
        except (OverflowError, ZeroDivisionError, IndexError) as error:
            raise CheckFailure("a factor past the end", f"{type(error).__name__}: {error}") from error
        inside = math.isfinite(found) and low - _SLACK <= found <= high + _SLACK
        expect(inside, f"a factor in [{low}, {high}] past the end", found)


@check(
    "settles-as-declared",
    SCHEDULER,
    why="`genzoo run` warns when a warm-up outlasts the run, by this number.",
    mend="Return the epochs after which the factor is constant, None where it never is.",
)
def settles_as_declared(subject: Subject) -> None:
    """After `settled_after` epochs the factor no longer changes."""
    scheduler = subject.build()
    for epochs in (10, 200):
        end = scheduler.settled_after(Progress(1, 0, 4, epochs))
        if end is None:
            continue
        expect(end >= 0 and math.isfinite(end), "a number of epochs", end)
        start = math.ceil(end) + 1
        after = {
            round(scheduler.factor(Progress(epoch, epoch * 4 - 1, 4, epochs)), 6)
            for epoch in range(start, start + 50, 7)
        }
        expect(len(after) == 1, f"one factor after {end} epochs of {epochs}", f"{len(after)} of them")


@check(
    "settles-no-later",
    SCHEDULER,
    why="`genzoo run` warns when a warm-up outlasts the run, by this number; one that is too large warns of nothing.",
    mend="Return the least number of epochs after which the factor is constant.",
)
def settles_no_later(subject: Subject) -> None:
    """`settled_after` is the least such number: within the two epochs before it, the factor changes still.

    Within the last one, where it changes from step to step.
    """
    scheduler = subject.build()
    for epochs in (10, 200):
        steps = 8
        end = scheduler.settled_after(Progress(1, 0, steps, epochs))
        if end is None or not 0 < end <= 10**6:
            continue
        at = [max(0, math.floor((end - back) * steps) - 1) for back in (2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25)]
        last = math.ceil((end + 1) * steps)
        factors = [scheduler.factor(Progress(step // steps + 1, step, steps, epochs)) for step in (*at, 0, last)]
        before, within = (factors[:-1] if end <= 2 else factors[:-2]), "two epochs"
        early = [scheduler.factor(Progress(1, step, steps, epochs)) for step in (2, 5)]
        if end >= 1 and early[0] != early[1]:  # a factor that is computed step by step, and not by whole epochs
            before, within = factors[5:8], "an epoch"
        expect(
            any(abs(item - factors[-1]) > 1e-12 for item in before),
            f"a factor that changes within {within} of {end:g}, when it settles in a run of {epochs}",
            f"{factors[-1]:g} before too",
        )


@check(
    "ends-as-named",
    SCHEDULER,
    why="An option called end, or start, is read as the factor that the schedule ends, or starts, with.",
    mend="Return the option itself past the end, and lie nearer to start than to end at first; or name it otherwise.",
    applies=lambda subject: (
        None if {"start", "end"} & set(subject.options_class.model_fields) else "it has no start or end"
    ),
)
def ends_as_named(subject: Subject) -> None:
    """With other values of the options start and end, the factor starts nearer to one and ends at the other."""
    fields = subject.options_class.model_fields
    for start, end in ((0.3, 0.9), (0.8, 0.2)):
        wanted = {name: value for name, value in (("start", start), ("end", end)) if name in fields}
        try:
            scheduler = subject.build(subject.options(**wanted))
        except GenzooError:
            continue
        if scheduler.bounds != (min(start, end), max(start, end)):
            raise NotApplicable("its start and end are no factors, as its bounds say")
        settled = scheduler.settled_after(Progress(1, 0, 100, 500))
        first = scheduler.factor(Progress(1, 0, 100, 500))
        if "end" in fields and settled is not None and settled <= 500:
            last = scheduler.factor(Progress(500, 49999, 100, 500))
            expect(abs(last - end) < 1e-9, f"a factor of {end} in the end, with end={end}", last)
        if "start" in fields and "end" in fields and settled:
            near = abs(first - start) < abs(first - end)
            expect(near, f"a first factor nearer to start={start} than to end={end}", first)


@check(
    "zero-length-works",
    SCHEDULER,
    why="`--scheduler.epochs 0` is how a user turns a warm-up off.",
    mend="Treat a length of zero as done at once, before dividing by it.",
    applies=lambda subject: None if subject.options_class.model_fields else "it has no options",
)
def zero_length_works(subject: Subject) -> None:
    """With each number at its least value the factor is finite and within bounds."""
    from genzoo.testing.checks.options import alternatives

    for name, field in subject.options_class.model_fields.items():
        now = getattr(subject.options(), name)
        for value in (0, *alternatives(field, now)):
            if isinstance(now, bool) or not isinstance(now, (int, float)) or not isinstance(value, (int, float)):
                continue
            try:
                scheduler = subject.build(subject.options(**{name: value}))
            except GenzooError:
                continue
            low, high = scheduler.bounds
            for moment in (*moments(3, 4), *moments(1, 1)):
                try:
                    found = scheduler.factor(moment)
                except ArithmeticError as error:
                    raise CheckFailure(f"a factor with {name}={value}", f"{type(error).__name__}") from error
                good = math.isfinite(found) and low - _SLACK <= found <= high + _SLACK
                expect(good, f"a factor in [{low}, {high}] with {name}={value}", found)


@check(
    "independent-of-steps-per-epoch",
    SCHEDULER,
    why="The same schedule in epochs must not change with the batch size.",
    mend="Use progress.at(unit), progress.epochs_done or fractions of progress.total_steps, not bare steps; or say that it "
    "is a schedule in steps.",
)
def independent_of_steps_per_epoch(subject: Subject) -> None:
    """At the same time, in epochs, the factor is the same for any number of steps an epoch.

    A schedule in steps, by an option or a summary that says so, is the same at each step instead.
    """
    scheduler = subject.build()
    described = [field.description or "" for field in subject.options_class.model_fields.values()]
    told = " ".join(
        [subject.component.summary, subject.cls.__doc__ or "", *subject.options_class.model_fields, *described]
    )
    if re.search(r"(?i)(?<!no )\bsteps?\b|iteration|update|each draw", told):
        pairs = [(Progress(1 + s // 50, s, 50, 400), Progress(1 + s // 800, s, 800, 25)) for s in range(0, 20000, 97)]
        if all(abs(scheduler.factor(few) - scheduler.factor(many)) <= 1e-9 for few, many in pairs):
            return
    for epoch in range(1, 25):
        few, many = (scheduler.factor(Progress(epoch, epoch * steps - 1, steps, 24)) for steps in (200, 4000))
        expect(abs(few - many) <= 0.02, f"{few:.5g} at the end of epoch {epoch} with 4000 steps too", f"{many:.5g}")
        odd = scheduler.factor(Progress(epoch, epoch * 333 - 1, 333, 24))
        expect(abs(few - odd) <= 0.02, f"{few:.5g} at the end of epoch {epoch} with 333 steps too", f"{odd:.5g}")
    for step in range(4, 48):
        # With few steps, a factor lies among those of the same time with many.
        few = scheduler.factor(Progress(step // 4 + 1, step, 4, 24))
        span = range(max(0, (step - 1) * 10), min((step + 2) * 10, 24 * 40))
        many = [scheduler.factor(Progress(at // 40 + 1, at, 40, 24)) for at in span]
        low, high = min(many) - 0.02, max(many) + 0.02
        said = f"a factor from {low:.4g} to {high:.4g} after {step / 4:g} epochs with 4 steps, as with 40"
        expect(low <= few <= high, said, f"{few:.5g}")


@check(
    "torch-free",
    SCHEDULER,
    why="`genzoo run --dry-run` prints a schedule, and figures of schedules are drawn, without torch.",
    mend="Use math; import torch nowhere in the module.",
)
def torch_free(subject: Subject) -> None:
    """Importing the scheduler imports no torch."""
    found = import_once(subject.component.target.partition(":")[0], torch=False)
    expect(not found["torch"], "no torch in sys.modules", "torch")


@check(
    "slot-named",
    SCHEDULER,
    why="`--scheduler NAME` without a slot drives the default one.",
    mend='Set default_slot to the name of a quantity, such as "beta" or "lr".',
)
def slot_named(subject: Subject) -> None:
    """Its default slot is the name of a quantity."""
    slot = subject.cls.default_slot
    expect(isinstance(slot, str) and slot.isidentifier(), "a name such as beta or lr", repr(slot))
