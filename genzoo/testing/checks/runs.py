"""Checks shared by visualizers and metrics, which read a run: they need what they declare, and leave the run alone."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import torch

from genzoo.errors import UsageError
from genzoo.interfaces import Animation, Page
from genzoo.randomness import seeded
from genzoo.testing.bench import COLOUR, GREY, ODD, history, reference_model
from genzoo.testing.building import agree, difference, extreme_views, first_view, render, timeless, views_for
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.modules import snapshot
from genzoo.testing.subject import Subject
from genzoo.types import Capability, Kind

BOTH = (Kind.VISUALIZER, Kind.METRIC)


def perform(plugin: Any, view: Any) -> Any:
    """What it makes of a run, called as the host calls it: figures, or numbers."""
    with torch.no_grad():
        return plugin.draw(view) if hasattr(plugin, "draw") else plugin.evaluate(view)


def figures_of(drawings: Any) -> dict[str, Any]:
    """The figures of what a visualizer drew, frames of animations among them; pages are left out."""
    found: dict[str, Any] = {}
    for name, drawing in drawings.items():
        if isinstance(drawing, Animation):
            found |= {f"{name} frame {number}": frame for number, frame in enumerate(drawing.frames)}
        elif not isinstance(drawing, Page):
            found[name] = drawing
    return found


def _trace(made: Any, plugin: Any) -> dict[str, Any]:
    return {
        name: value if isinstance(value, (int, float)) else render(value)
        for name, value in timeless(made, plugin).items()
    }


@contextlib.contextmanager
def _refusals_allowed(refused: list[str]) -> Generator[None]:
    try:
        yield
    except UsageError as error:
        refused.append(str(error))


@check(
    "run-left-alone",
    *BOTH,
    why="Figures are drawn between epochs; a changed mode, weight or gradient changes the training that follows.",
    mend="Change nothing of run.model; it is in eval mode already, and gradients are off.",
)
def run_left_alone(subject: Subject) -> None:
    """It leaves the model's mode, weights, gradients and flags as they were."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    view.model.requires_grad_(True)
    before = snapshot(view.model)
    perform(plugin, view)
    after = snapshot(view.model)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    expect(not changed, "weights as they were", f"{', '.join(changed)} changed")
    expect(not any(item.training for item in view.model.modules()), "eval mode kept", "training mode")
    expect(all(item.requires_grad for item in view.model.parameters()), "gradient flags kept", "some turned off")
    expect(all(item.grad is None for item in view.model.parameters()), "no gradients", "some")


@check(
    "data-left-alone",
    *BOTH,
    why="Every later figure and number reads the same data.",
    mend="Use no in-place operation on images, labels, factors or history rows.",
)
def data_left_alone(subject: Subject) -> None:
    """It leaves images, labels, factors and history as they were."""
    plugin = subject.build()
    view = first_view(plugin, subject)

    def state() -> dict[str, Any]:
        found: dict[str, Any] = {"history": repr(view.history)}
        for name, split in view.splits.items():
            for part in ("images", "labels", "factors"):
                value = getattr(split, part)
                found[f"{name} {part}"] = None if value is None else value.clone()
        return found

    before = state()
    perform(plugin, view)
    differs = difference(before, state())
    expect(differs is None, "the data as it was", f"{differs} changed")


@check(
    "grey-colour-and-odd-sizes",
    *BOTH,
    why="A size or channel count written into the code fails on every other data set.",
    mend="Read shapes from run.image; refuse what cannot work with a UsageError that says so.",
)
def grey_colour_and_odd_sizes(subject: Subject) -> None:
    """It works for grey and colour images and for odd sizes, or refuses them by name."""
    plugin = subject.build()
    refused: list[str] = []
    for spec in (GREY, COLOUR, ODD):
        with _refusals_allowed(refused):
            perform(plugin, first_view(plugin, subject, spec=spec))
    expect(len(refused) < 3, "one shape at least to work", f"all refused, the last with: {refused[-1:]}")


@check(
    "one-image-works",
    *BOTH,
    why="`--limit` leaves few images, and a last batch may hold one.",
    mend="Keep batch dimensions (squeeze by index), or refuse with a UsageError that names the number needed.",
)
def one_image_works(subject: Subject) -> None:
    """It works on a split of one image, or says how many it needs."""
    plugin = subject.build()
    with _refusals_allowed([]):
        perform(plugin, first_view(plugin, subject, sizes=(1, 1)))


def _declares(name: str) -> Any:
    def applies(subject: Subject) -> str | None:
        return f"it declares {name}" if getattr(subject.cls, name, False) else None

    return applies


def _works(plugin: Any, view: Any, subject: Subject) -> bool:
    whole = [item for item in views_for(plugin, subject) if type(item.model) is type(view.model)]
    try:
        perform(plugin, whole[0])
    except Exception:
        return False
    return True


def _without(subject: Subject, what: str, name: str) -> None:
    plugin = subject.build()
    needs = getattr(plugin, name, False)
    if needs:
        return
    for view in views_for(plugin, subject, **{what: False}):
        if what == "labels" and Capability.CONDITIONAL in view.model.capabilities:
            continue
        try:
            perform(plugin, view)
        except UsageError:
            continue
        except Exception as error:
            if not _works(plugin, view, subject):
                continue  # it fails with them too, which is for another check to say
            raise CheckFailure(
                f"it to work without {what}, as `{name}` is not declared", f"{type(error).__name__}: {error}"
            ) from error


@check(
    "labels-as-declared",
    *BOTH,
    why="The host refuses data without labels before training only if the plugin says that it needs them.",
    mend="Declare needs_labels = True, or do without labels where there are none.",
    applies=_declares("needs_labels"),
)
def labels_as_declared(subject: Subject) -> None:
    """It works on data without labels, since it does not declare that it needs them."""
    _without(subject, "labels", "needs_labels")


@check(
    "factors-as-declared",
    *BOTH,
    why="The host refuses data without ground-truth factors before training if the plugin says that it needs them.",
    mend="Declare needs_factors = True, or do without factors where there are none.",
    applies=_declares("needs_factors"),
)
def factors_as_declared(subject: Subject) -> None:
    """It works on data without factors, since it does not declare that it needs them."""
    _without(subject, "factors", "needs_factors")


@check(
    "history-as-declared",
    *BOTH,
    why="A model loaded from a checkpoint alone has no history.",
    mend="Declare needs_history = True, or do without a history where there is none.",
    applies=_declares("needs_history"),
)
def history_as_declared(subject: Subject) -> None:
    """It works on a run without history, since it does not declare that it needs one."""
    _without(subject, "rows", "needs_history")


@check(
    "requires-as-declared",
    *BOTH,
    why="`requires` is how a model that does not fit is refused before training, by name.",
    mend="Declare the capability in `requires` (or `forbids`), or refuse in `check`.",
)
def requires_as_declared(subject: Subject) -> None:
    """It works with every model that has the capabilities it requires."""
    plugin = subject.build()
    known = set(Capability)
    expect(set(plugin.requires) <= known, "capabilities", sorted(set(plugin.requires) - known))
    for view in views_for(plugin, subject):
        try:
            perform(plugin, view)
        except UsageError:
            continue
        except Exception as error:
            raise CheckFailure(
                f"it to work with {type(view.model).__name__} ({', '.join(sorted(view.model.capabilities))})",
                f"{type(error).__name__}: {error}",
            ) from error


def _performed(plugin: Any, view: Any) -> Any:
    try:
        plugin.check(view.model, view.dataset.spec)
        return perform(plugin, view)
    except UsageError:
        return {}


@check(
    "responds-to-run",
    *BOTH,
    why="A figure or number that is the same for every run says nothing.",
    mend="Read the run that is given; keep nothing from an earlier one.",
)
def responds_to_run(subject: Subject) -> None:
    """Another run gives another result, and the first run again gives the first."""
    plugin = subject.build()
    traces: list[dict[str, Any]] = []
    for seed in (0, 1, 0):
        with seeded(3):
            traces.append(_trace(perform(plugin, first_view(plugin, subject, seed=seed)), plugin))
    if difference(traces[0], traces[1]) is None:
        # A count may be the same for two runs, and for each of many.
        others = [first_view(plugin, subject, seed=seed, sizes=(300, 150)) for seed in (2, 3)]
        others += list(views_for(plugin, subject)[1:])
        with contextlib.suppress(NotApplicable, UsageError):
            others += extreme_views(plugin)
        rows: list[Mapping[str, Any]] = [*others[0].history[::-1], *history(7, 3.0)]
        others.append(replace(others[0], history=[{**row, "epoch": at} for at, row in enumerate(rows, 1)]))
        model = others[0].model
        others += [replace(others[0], model=reference_model(type(model), model.image, 4, by)) for by in (0.05, 20.0)]
        made = [_trace(_performed(plugin, item), plugin) for item in others]
        differs = any(made[0] != item for item in (traces[0], *made) if item)
        expect(differs, "another result for another run", "the same")
    expect(all(agree(traces[0][key], traces[2].get(key)) for key in traces[0]), "the first result again", "another")
    with seeded(3):
        fresh = _trace(perform(subject.build(), first_view(plugin, subject, seed=1)), plugin)
    same = difference(fresh, traces[1]) is None
    expect(same, "the same of a run after another one as of that run alone", "something that is kept of the first")
