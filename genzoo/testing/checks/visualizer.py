"""Checks of visualizers: figures that render, are named, and leave pyplot and the disk alone."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from genzoo.interfaces import Animation, Page
from genzoo.testing.building import first_view, render
from genzoo.testing.checking import check, expect
from genzoo.testing.checks.runs import figures_of, perform
from genzoo.testing.subject import Subject
from genzoo.testing.writes import files_written
from genzoo.types import Kind

VISUALIZER = Kind.VISUALIZER
_NAME = re.compile(r"([a-z0-9]+(-[a-z0-9]+)*)?")


def _drawings(subject: Subject) -> dict[Any, Any]:
    plugin = subject.build()
    return dict(perform(plugin, first_view(plugin, subject)))


def _figures(subject: Subject) -> dict[str, Any]:
    return figures_of(_drawings(subject))


def _pixels(figure: Any) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(render(figure)))


@check(
    "draws-figures",
    VISUALIZER,
    why="Core writes a file for each figure returned, and reports exactly those.",
    mend="Return a mapping from names to matplotlib figures, pages or animations; the empty name is the visualizer's own.",
)
def draws_figures(subject: Subject) -> None:
    """It returns at least one drawing, each a matplotlib Figure, a `Page` or an `Animation`."""
    drawings = _drawings(subject)
    expect(drawings, "a figure at least", "none")
    for name, drawing in drawings.items():
        known = isinstance(drawing, (Figure, Page, Animation))
        expect(known, "a matplotlib Figure", f"{type(drawing).__name__} at {name!r}")


@check(
    "figure-names-safe",
    VISUALIZER,
    why="The names become file names.",
    mend='Name figures in kebab-case, or "" for the only one.',
)
def figure_names_safe(subject: Subject) -> None:
    """Figure names are kebab-case or empty."""
    for name in _drawings(subject):
        expect(isinstance(name, str) and _NAME.fullmatch(name), "a kebab-case name", repr(name))


@check(
    "renders",
    VISUALIZER,
    why="Figures are written as PNG, and as SVG on request.",
    mend="Draw with artists that every backend knows, and hold data, not file handles.",
)
def renders(subject: Subject) -> None:
    """Each figure is written as a PNG that decodes and as SVG."""
    for name, figure in _figures(subject).items():
        pixels = _pixels(figure)
        expect(min(pixels.shape[:2]) >= 16, f"{name!r} of 16 pixels at least", f"{pixels.shape[:2]}")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")
        expect(b"</svg>" in buffer.getvalue(), f"a whole SVG of {name!r}", "none")


@check(
    "not-blank",
    VISUALIZER,
    why="A blank figure passes for a result until somebody looks.",
    mend="Draw the data, and check that axes are filled and limits are finite.",
)
def not_blank(subject: Subject) -> None:
    """Each figure shows something."""
    for name, figure in _figures(subject).items():
        grey = _pixels(figure)[..., :3].mean(-1)
        share = float((np.abs(grey - np.median(grey)) > 0.02).mean())
        expect(share > 0.002, f"marks on {name!r}", f"{share:.2%} of its pixels differ from the background")


@check(
    "says-what-it-shows",
    VISUALIZER,
    why="A figure outlives the command that made it; without a word on it nobody knows what it is.",
    mend="Set a title, a suptitle or axis labels.",
)
def says_what_it_shows(subject: Subject) -> None:
    """Each figure has a title, other text or axis labels, and each page a title."""
    for name, drawing in _drawings(subject).items():
        if isinstance(drawing, Page):
            expect(re.search(r"<title>\s*[^\s<]", drawing.html), f"a title on the page {name!r}", "none")
    for name, figure in _figures(subject).items():
        words = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
        for axes in figure.axes:
            words += [axes.get_title(where) for where in ("left", "center", "right")]
            words += [axes.get_xlabel(), axes.get_ylabel()]
        expect(any(words), f"words on {name!r}", "none")


@check(
    "pyplot-left-alone",
    VISUALIZER,
    why="Figures that pyplot keeps are never freed; after twenty it warns, after some hundred epochs memory is gone.",
    mend="Make figures with genzoo.parts.figures or matplotlib.figure.Figure, not with pyplot.",
)
def pyplot_left_alone(subject: Subject) -> None:
    """It leaves no figure open in pyplot."""
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    _figures(subject)
    after = plt.get_fignums()
    for number in set(after) - set(before):
        plt.close(number)
    expect(after == before, "no new figure in pyplot", f"{len(after) - len(before)} left open")


@check(
    "settings-left-alone",
    VISUALIZER,
    why="A changed style, backend or warnings filter changes every figure that follows.",
    mend="Pass styles as arguments, or use matplotlib.rc_context.",
)
def settings_left_alone(subject: Subject) -> None:
    """It leaves matplotlib's settings and backend, and the warnings filter, as they were."""
    import matplotlib as mpl

    plugin = subject.build()
    view = first_view(plugin, subject)
    settings, filters = dict(mpl.rcParams), list(warnings.filters)
    try:
        perform(plugin, view)
        changed = sorted(key for key, value in mpl.rcParams.items() if settings[key] != value)
        expect(not changed, "matplotlib's settings as they were", f"{', '.join(changed)} changed")
        expect(list(warnings.filters) == filters, "the warnings filter as it was", "another")
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mpl.rcParams.update(settings)


@check(
    "writes-no-files",
    VISUALIZER,
    why="Core writes figures into the run's folder, reports exactly those, and never overwrites.",
    mend="Return the figures and write nothing.",
)
def writes_no_files(subject: Subject) -> None:
    """It writes no file of its own."""
    plugin = subject.build()
    view = first_view(plugin, subject)
    folder = subject.folder / "empty"
    folder.mkdir(exist_ok=True)
    here = Path.cwd()
    elsewhere: list[Path] = []
    os.chdir(folder)
    try:
        with files_written(elsewhere):
            perform(plugin, view)
    finally:
        os.chdir(here)
    found = sorted(item.name for item in folder.rglob("*"))
    found += [str(item) for item in elsewhere if not item.is_relative_to(folder.resolve())]
    expect(not found, "no file written, here or elsewhere", f"{', '.join(found)} written")
