"""Figures without pyplot's global state: the house style, the palette, reproducible files.

Every figure is `WIDTH` inches wide, so that the smallest text of `STYLE` is above 7 pt when it is shown 800 px wide.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any

import torch

from genzoo.errors import UsageError
from genzoo.process import without_window
from genzoo.randomness import derive, seeded
from genzoo.text import visible
from genzoo.types import ImageSpec

with without_window():
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.mathtext import MathTextParser
    from matplotlib.text import Text

WIDTH = 8.0
"""Width of every figure, in inches."""
DPI = 200
"""Dots per inch of PNG files."""
SHOWN_WIDTH = 800
"""Width in CSS pixels (96 to the inch) at which text must be legible."""
FORMATS = ("png", "svg")

PALETTE = (
    "#1f66b4",  # blue
    "#ee861a",  # orange
    "#dd2c5e",  # crimson
    "#02d9a7",  # aqua
    "#81005e",  # purple
    "#a1d174",  # light green
    "#845e00",  # brown
    "#ee97ff",  # pink
    "#334922",  # dark green
    "#a38aad",  # mauve
)
"""Ten colours, 25 CIELAB units apart and from white, also under protanopia, deuteranopia and tritanopia."""

MARKERS = ("o", "^", "s", "D", "v", "P")
"""Told apart from the eleventh class on, when colours repeat."""

INK = "#222222"
MUTED = "#666666"
GRID = "#dddddd"

LEAST_NATS = 0.2
"""The least span of a vertical axis in nats: less is not worth a training."""
LEAST_SHARE = 0.002
"""The least span of a vertical axis, as a part of the values on it."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": 100,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": DPI,
    "svg.fonttype": "path",
    "svg.hashsalt": "genzoo",
    "text.color": INK,
    "text.parse_math": False,  # class names and titles are the user's words, dollar signs included
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
"""What differs from matplotlib's own defaults."""

_NOT_STYLE = (
    "backend",
    "interactive",
    "toolbar",
    "timezone",
    "webagg",
    "tk.",
    "macosx",
    "savefig.directory",
    "datapath",
)


@contextmanager
def house_style() -> Generator[None]:
    """The house style, whatever the user's matplotlibrc says; rcParams are put back afterwards.

    Example:
        >>> before = mpl.rcParams["axes.labelsize"]
        >>> with house_style():
        ...     mpl.rcParams["axes.labelsize"]
        9.0
        >>> mpl.rcParams["axes.labelsize"] == before
        True
    """
    defaults: dict[Any, Any] = {
        key: mpl.rcParamsDefault[key] for key in mpl.rcParamsDefault if not key.startswith(_NOT_STYLE)
    }
    defaults.update(STYLE)
    with mpl.rc_context(defaults):
        yield


@contextmanager
def drawing(seed: int, *stream: int | str) -> Generator[None]:
    """What a visualizer draws under: the house style, no gradients, and torch's random state seeded and put back.

    Args:
        seed: The view's seed.
        stream: Names the figure, so that two figures of one run draw different noise.
    """
    with house_style(), torch.no_grad(), seeded(derive(seed, "figure", *stream)):
        yield


class HouseFigure(Figure):
    """A figure on an Agg canvas that is drawn in the house style wherever it is saved or shown."""

    def draw(self, renderer: Any) -> None:
        """See `matplotlib.figure.Figure.draw`; ticks are made when they are drawn, so the style is needed here too."""
        with house_style():
            super().draw(renderer)

    def get_tightbbox(self, renderer: Any = None, *, bbox_extra_artists: Any = None) -> Any:
        """See `matplotlib.figure.Figure.get_tightbbox`."""
        with house_style():
            return super().get_tightbbox(renderer, bbox_extra_artists=bbox_extra_artists)


def new_figure(height: float, *, constrained: bool = True) -> Figure:
    """An empty figure, `WIDTH` inches wide, unknown to pyplot.

    Args:
        height: In inches.
        constrained: Let matplotlib's constrained layout place axes and labels.

    Example:
        >>> new_figure(3).get_size_inches().tolist()
        [8.0, 3.0]
    """
    with house_style():
        figure = HouseFigure(figsize=(WIDTH, height), layout="constrained" if constrained else None)
        FigureCanvasAgg(figure)
    return figure


def widen(axes: Axes, least: float = 0.0) -> None:
    """Give a linear vertical axis a least span, so that rounding errors of a constant are not drawn as curves.

    Args:
        axes: With the lines that are on it.
        least: The span, in the unit of the axis; at least `LEAST_SHARE` of the values is taken.
    """
    low, high = axes.get_ylim()
    least = max(least, LEAST_SHARE * max(abs(low), abs(high)))
    if axes.get_yscale() == "linear" and abs(high - low) < least:
        middle = (low + high) / 2
        axes.set_ylim(middle - least / 2, middle + least / 2)


def colour(index: int) -> str:
    """The palette's colour of a class; they repeat after the tenth."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """The marker of a class: another one for each round through the palette."""
    return MARKERS[index // len(PALETTE) % len(MARKERS)]


@lru_cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def printable(text: str, longest: int | None = None) -> str:
    """Text as the figures' font can show it: other characters become ``□``, what is too long is cut with ``…``.

    Example:
        >>> printable("z₁ = 猫"), printable("a very long name", 8)
        ('z₁ = □', 'a very …')
    """
    shown = "".join(c if ord(c) in _glyphs() or c == "\n" else "□" for c in text)
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def class_names(image: ImageSpec, longest: int = 12) -> list[str]:
    """Names of the classes as a figure can show them; the index where the font lacks a character of the name.

    Args:
        image: What one image is, with its number of classes.
        longest: Longer names are cut.

    Example:
        >>> class_names(ImageSpec((1, 2, 2), classes=2, class_names=("cat", "猫")))
        ['cat', '1']
    """
    names = [image.class_name(label) for label in range(image.classes or 0)]
    return [
        printable(name, longest) if name and all(ord(c) in _glyphs() for c in name) else str(index)
        for index, name in enumerate(names)
    ]


def latent_name(index: int) -> str:
    """The name of a latent dimension on an axis, counted from 1.

    Example:
        >>> latent_name(0), latent_name(11)
        ('z₁', 'z₁₂')
    """
    return "z" + "".join(chr(ord("₀") + int(digit)) for digit in str(index + 1))


def smallest_text(figure: Figure, shown_width: int = SHOWN_WIDTH) -> float:
    """Size in points of the smallest visible text when the figure is shown so many CSS pixels wide; inf without text."""
    figure.draw_without_rendering()
    scale = shown_width / 96 / figure.get_size_inches()[0]
    texts: list[Text] = figure.findobj(Text)  # pyright: ignore[reportAssignmentType, reportArgumentType]
    sizes = [text.get_fontsize() * scale for text in texts if text.get_visible() and text.get_text().strip()]
    return min(sizes, default=math.inf)


def render(figure: Figure, format: str = "png") -> bytes:
    """A figure as a file's bytes; the same figure gives the same bytes.

    Args:
        figure: Any figure.
        format: ``png`` or ``svg``.

    Raises:
        UsageError: If the format is another.
    """
    if format not in FORMATS:
        raise UsageError(f"figure: format must be one of {', '.join(FORMATS)}, got {format!r}.")
    # Dates and versions would make two files of one figure differ.
    metadata = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
    buffer = BytesIO()
    show_literally(figure)
    with house_style():
        figure.savefig(buffer, format=format, dpi=DPI, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def show_literally(figure: Figure) -> None:
    """Class names and titles are anybody's words: no dollar sign of theirs is parsed in a `HouseFigure`, none raises in
    another, and control codes are shown as escapes."""
    texts: list[Text] = figure.findobj(Text)  # pyright: ignore[reportAssignmentType, reportArgumentType]
    for artist in texts:
        text = artist.get_text()
        if text != visible(text):
            artist.set_text(visible(text))
        if isinstance(figure, HouseFigure) or not _is_sound_math(text):
            artist.set_parse_math(False)


def _is_sound_math(text: str) -> bool:
    if text.count("$") < 2:
        return True
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return False
    return True
