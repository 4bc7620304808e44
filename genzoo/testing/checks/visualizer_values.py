"""Checks of what figures show: lines that are those of their label, printed numbers of the last epoch, every class."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from genzoo.errors import UsageError
from genzoo.interfaces import RunView
from genzoo.testing.bench import ODD, standardised
from genzoo.testing.building import extreme_views, first_view
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.runs import figures_of, perform
from genzoo.testing.checks.visualizer import VISUALIZER
from genzoo.testing.subject import Subject
from genzoo.types import Capability

_NUMBER = re.compile(r"\d+\.\d+")


def _history(subject: Subject) -> str | None:
    return None if subject.cls.needs_history else "it reads no history"


def _series(view: RunView, split: str) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for key, value in view.history[0][split].items():
        if isinstance(value, (int, float)):
            found.append(np.array([row[split][key] for row in view.history], dtype=float))
    return found


def _is_one_of(values: Any, series: list[np.ndarray]) -> bool:
    shown = np.asarray(values, dtype=float)
    return any(shown.shape == item.shape and np.allclose(shown, item, rtol=1e-6) for item in series)


@check(
    "lines-are-of-their-split",
    VISUALIZER,
    why="Curves with train and test changed over show a model that generalizes where there is one that does not.",
    mend="Take each line from the part of the row that its label names.",
    applies=_history,
)
def lines_are_of_their_split(subject: Subject) -> None:
    """A line labelled train or test is not that of the other split."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    for figure in figures_of(perform(plugin, view)).values():
        for axes in figure.axes:
            for line in axes.get_lines():
                label = str(line.get_label()).lower()
                own = [split for split in ("train", "test") if split in label]
                if len(own) != 1:
                    continue
                other = {"train": "test", "test": "train"}[own[0]]
                values = line.get_ydata()
                swapped = _is_one_of(values, _series(view, other)) and not _is_one_of(values, _series(view, own[0]))
                expect(not swapped, f"a line of {own[0]} where the label says {label!r}", f"the values of {other}")


def _texts(figures: Any) -> list[str]:
    from matplotlib.text import Text

    found: list[str] = []
    for figure in figures.values():
        axis = [item for axes in figure.axes for item in (axes.xaxis, axes.yaxis)]
        ticks = {id(text) for item in axis for text in item.findobj(Text) if text is not item.label}
        found += [text.get_text() for text in figure.findobj(Text) if id(text) not in ticks]
    return [text for text in found if _NUMBER.search(text)]


def _with_row(view: RunView, index: int) -> RunView:
    rows: Any = copy.deepcopy(list(view.history))
    for split in ("train", "test"):
        for key, value in rows[index][split].items():
            if isinstance(value, float):
                rows[index][split][key] = value * 1.37 + 0.71
    return replace(view, history=rows)


def _changed(subject: Subject) -> tuple[Any, Any, Any]:
    """The figures of a run, and those of the run with another first and with another last epoch."""

    def make() -> tuple[Any, Any, Any]:
        plugin = subject.build()
        view = first_view(plugin, subject)
        runs = (view, _with_row(view, 0), _with_row(view, -1))
        plain, first, last = (figures_of(perform(plugin, item)) for item in runs)
        return plain, first, last

    return subject.kept("figures of other histories", make)


@check(
    "printed-numbers-are-the-last",
    VISUALIZER,
    why="The number beside a curve is read as what the run reached; that of the first epoch is what it began with.",
    mend="Print history[-1], and say where a number is of another epoch.",
    applies=_history,
)
def printed_numbers_are_the_last(subject: Subject) -> None:
    """Numbers printed on a figure change with the last epoch, where they change with the first."""
    plain, first, last = (_texts(figures) for figures in _changed(subject))
    if not plain:
        raise NotApplicable("it prints no numbers")
    expect(first == plain or last != plain, "printed numbers that change with the last epoch", "with the first alone")


@check(
    "history-is-shown",
    VISUALIZER,
    why="A figure of the history that leaves out its last epochs, or shows one split twice, hides what happened.",
    mend="Draw every row, and both splits.",
    applies=_history,
)
def history_is_shown(subject: Subject) -> None:
    """The last epoch of the history changes the figure."""
    from genzoo.testing.building import render

    figures = _changed(subject)
    plain, last = ({name: render(item, 20) for name, item in made.items()} for made in (figures[0], figures[2]))
    expect(last != plain, "another figure for another last epoch", "the same")


@check(
    "every-class-is-shown",
    VISUALIZER,
    why="A grid of classes that asks for the first ones alone, or for one of them again and again, hides the others.",
    mend="Go over range(run.image.classes).",
    applies=lambda subject: (
        None if Capability.CONDITIONAL in subject.cls.requires else "it does not require a conditional model"
    ),
)
def every_class_is_shown(subject: Subject) -> None:
    """Every class, and not the first ones alone, is asked of a conditional model."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    asked: set[int] = set()
    model: Any = view.model
    for name in ("sample", "decode", "generate"):
        setattr(model, name, _noting(getattr(model, name), asked))
    perform(plugin, view)
    classes = view.image.classes or 0
    if len(asked) == 2 and classes > 2:
        return  # a figure of two classes
    missing = sorted(set(range(classes)) - asked)
    expect(not missing or not asked, "every class asked of the model", f"none of {', '.join(map(str, missing))}")


@check(
    "cells-are-of-their-class",
    VISUALIZER,
    why="A figure of classes with rows in another order than their names calls every class by another's.",
    mend="Take the name of a cell from the label that it was made with.",
    applies=lambda subject: (
        None if Capability.CONDITIONAL in subject.cls.requires else "it does not require a conditional model"
    ),
)
def cells_are_of_their_class(subject: Subject) -> None:
    """Where a model paints each class in a grey of its own, a picture whose title names one class is of that grey."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    classes = view.image.classes or 0
    names = [view.image.class_name(label) for label in range(classes)]
    model: Any = view.model
    for name in ("sample", "decode", "generate"):
        setattr(model, name, _painting(getattr(model, name), model, classes))
    for figure in figures_of(perform(plugin, view)).values():
        for axes in figure.axes:
            shown = {_class_of(image.get_array(), classes) for image in axes.get_images()}
            titles = [axes.get_title(where) for where in ("left", "center", "right")] + [axes.get_ylabel()]
            named = {names.index(part) for text in titles for part in re.split(r"[^\w]+", text) if part in names}
            if len(shown) != 1 or len(named) != 1 or None in shown:
                continue
            of, said = shown.pop(), named.pop()
            expect(of == said, f"a picture of class {said} where its title says so", f"one of class {of}")


def _painting(call: Any, model: Any, classes: int) -> Any:
    """The call with every image painted as its label says."""

    def painting(*arguments: Any, **named: Any) -> Any:
        made = call(*arguments, **named)
        label = named.get("label", next((item for item in arguments[1:] if isinstance(item, torch.Tensor)), None))
        if label is None or label.is_floating_point():
            return made
        grey = (label.reshape(-1).float() + 1) / (classes + 1)
        if isinstance(made, torch.Tensor):
            return torch.ones_like(made) * grey.reshape(-1, *[1] * (made.dim() - 1))
        shape = (*made.batch_shape, *made.event_shape)
        painted = torch.zeros(shape) + grey.reshape(-1, 1, 1, 1)
        return model.likelihood(painted.logit())

    return painting


def _class_of(values: Any, classes: int) -> int | None:
    """The class whose grey a picture has throughout, None for another picture."""
    shown = np.asarray(values, dtype=float)
    shown = shown[..., :3] if shown.ndim == 3 else shown
    if shown.size == 0 or float(shown.max() - shown.min()) > 0.02:
        return None
    grey = float(shown.mean()) / (255.0 if shown.max() > 1 else 1.0)
    label = round(grey * (classes + 1) - 1)
    return label if 0 <= label < classes and abs(grey - (label + 1) / (classes + 1)) < 0.02 else None


def _noting(call: Any, asked: set[int]) -> Any:
    def noting(*arguments: Any, **named: Any) -> Any:
        label = named.get("label", next((item for item in arguments[1:] if isinstance(item, torch.Tensor)), None))
        if label is not None and not label.is_floating_point():
            asked.update(label.flatten().tolist())
        return call(*arguments, **named)

    return noting


@check(
    "images-stand-upright",
    VISUALIZER,
    why="An image that is drawn with rows for columns is another image, and digits still look like something.",
    mend="Show [C, H, W] by permute(1, 2, 0): rows first, then columns, then channels.",
)
def images_stand_upright(subject: Subject) -> None:
    """Pictures of images of 9 by 7 pixels are not 7 by 9."""
    plugin = subject.build()
    view = first_view(plugin, subject, spec=ODD)
    height, width = view.image.shape[1:]
    try:
        drawn = figures_of(perform(plugin, view))
    except UsageError as error:
        raise NotApplicable(str(error)) from error
    for figure in drawn.values():
        for axes in figure.axes:
            for picture in axes.get_images():
                shape = tuple(np.asarray(picture.get_array()).shape[:2])
                expect(shape != (width, height), f"pictures of {height} by {width}", f"one of {shape[0]} by {shape[1]}")


@check(
    "grey-levels-are-kept",
    VISUALIZER,
    why="Without limits, matplotlib stretches each picture to black and white: faint images look like sharp ones.",
    mend="Show images with imshow(image, vmin=0, vmax=1), or by genzoo.parts.grids.image_grid.",
)
def grey_levels_are_kept(subject: Subject) -> None:
    """A picture that is an image of the data, or a mean of such, is shown from 0, black, to 1, white."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    # Of one image again and again, every mean is that image.
    same = {
        name: replace(split, images=split.images[:1].expand_as(split.images).clone())
        for name, split in view.splits.items()
    }
    done = False
    for run in (view, replace(view, splits=same)):
        known = np.concatenate([split.batch().image[:, 0].double().numpy() for split in run.splits.values()])
        for figure in figures_of(perform(plugin, run)).values():
            for picture in (item for axes in figure.axes for item in axes.get_images()):
                shown = np.asarray(picture.get_array(), dtype=float)
                if shown.shape != tuple(view.image.shape[1:]):
                    continue
                if bool(np.isclose(known, shown, atol=1e-4).all((1, 2)).any()):
                    done = True
                    low, high = (float(value) for value in picture.get_clim())
                    said = "an image of the data shown from 0 to 1"
                    expect((low, high) == (0, 1), said, f"from {low:.3g} to {high:.3g}")
    if not done:
        raise NotApplicable("it shows no image of the data alone")


@check(
    "points-are-of-their-class",
    VISUALIZER,
    why="Points in the colours of other images' labels show classes that mix where they are apart.",
    mend="Take codes and labels from one batch: batch = run.shuffled(n), then batch.image and batch.label.",
    applies=lambda subject: None if Capability.CONDITIONAL not in subject.cls.requires else "it requires a label",
)
def points_are_of_their_class(subject: Subject) -> None:
    """Of a model whose code is the class, points of one colour, or of one label, are in one place."""
    plugin = subject.build()
    try:
        view = extreme_views(plugin, sizes=(300, 150))[0]
        plugin.check(view.model, view.dataset.spec)
        drawn = figures_of(perform(plugin, view))
    except UsageError as error:
        raise NotApplicable(str(error)) from error
    classes = view.image.classes or 0
    done = False
    for figure in drawn.values():
        for axes in figure.axes:
            coloured = _coloured(axes)
            groups, colours = list(coloured.values()), list(coloured)
            if len(groups) != classes or min(map(len, groups)) < 5:
                continue
            every = np.concatenate(groups)
            for column in range(2):
                # The code of the oracle has the class along one axis, at as many places as there are classes.
                places = _places(every[:, column], classes)
                if places is None:
                    continue
                done = True
                names = [view.image.class_name(label) for label in range(classes)]
                of_classes = standardised(torch.arange(classes)[:, None].expand(-1, 3))[:, 0].numpy()
                told = _legend(axes, names) if np.allclose(places, of_classes, atol=0.05) else {}
                for points, colour in zip(groups, colours, strict=True):
                    nearest = np.abs(points[:, column, None] - places).argmin(1)
                    share = float(np.bincount(nearest).max() / len(nearest))
                    expect(share > 0.8, "points of one colour to be of one class", f"{share:.0%} of them")
                    of = int(np.bincount(nearest).argmax())
                    if of in told:
                        same = np.allclose(told[of], colour, atol=0.02)
                        expect(same, f"points of {names[of]} in the colour of {names[of]} in the legend", "in another")
    if not done:
        raise NotApplicable("it draws no points by class")


def _legend(axes: Any, names: list[str]) -> dict[int, Any]:
    """Class → the colour that a legend of the axes or of their figure shows beside its name."""
    from matplotlib.colors import to_rgba

    found: dict[int, Any] = {}
    for legend in [axes.get_legend(), *axes.figure.legends]:
        if legend is None:
            continue
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=False):
            if text.get_text() not in names:
                continue
            for name in ("get_markerfacecolor", "get_facecolor", "get_color"):
                if not hasattr(handle, name):
                    continue
                value = np.asarray(getattr(handle, name)(), dtype=object)
                colour = value[0] if value.ndim == 2 else getattr(handle, name)()
                found[names.index(text.get_text())] = to_rgba(colour)[:3]
                break
    return found


def _coloured(axes: Any) -> dict[Any, np.ndarray]:
    """The points of scatter plots and marked lines of some axes, by their colour."""
    from matplotlib.colors import to_rgb

    found: dict[Any, list[np.ndarray]] = {}
    for collection in axes.collections:
        offsets = np.asarray(collection.get_offsets(), dtype=float)
        if offsets.ndim != 2 or len(offsets) < 2:
            continue
        collection.update_scalarmappable()
        colours = np.asarray(collection.get_facecolors())
        colours = np.broadcast_to(colours, (len(offsets), 4)) if len(colours) == 1 else colours
        if len(colours) == len(offsets):
            for colour in np.unique(colours, axis=0):
                found.setdefault(tuple(colour[:3]), []).append(offsets[(colours == colour).all(1)])
    for line in axes.get_lines():
        if line.get_linestyle() in {"None", "none", ""} and len(line.get_xdata()) > 1:
            points = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
            found.setdefault(to_rgb(line.get_markerfacecolor()), []).append(points)
    return {colour: np.concatenate(parts) for colour, parts in found.items()}


def _places(values: np.ndarray, count: int) -> np.ndarray | None:
    """Where numbers lie that are in ``count`` heaps with wide gaps between them; None where they are not."""
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    widest = np.sort(np.argsort(gaps)[-(count - 1) :])
    parts = np.split(ordered, widest + 1)
    spread = max(float(np.ptp(part)) for part in parts)
    return np.array([part.mean() for part in parts]) if float(gaps[widest].min()) > 1.5 * spread else None
