"""What a visualizer may return beside figures: pages and animations. Imports no torch and no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from genzoo.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of a page that can also stand in a page of others, such as a report; see `genzoo.parts.pages.page`.

    It must need no other file and no network. ``style`` attributes are not obeyed in a report; write rules in ``style``.

    Args:
        name: In kebab-case; names its element's class.
        title: Its heading, as plain text.
        html: What stands under the heading, with class names and titles escaped (`html.escape`).
        style: CSS rules; begin each selector with ``.NAME`` to leave the rest of the page alone.
        script: The body of a JavaScript function of ``root``, the section's element, and ``data``. It runs once the page is
            shown. Letters beyond ASCII stand in strings alone.
        data: What the script gets, as plain JSON.
    """

    name: str
    title: str
    html: str
    style: str = ""
    script: str = ""
    data: Any = None


@dataclass(frozen=True)
class Page:
    """A page of HTML, which is written as it is, as ``.html``.

    It should need no other file and no network, and escape what it shows of class names and titles (`html.escape`).

    Args:
        html: The whole document, with a title.
        sections: What it is made of, where it may stand in a report; reports leave other pages out.
    """

    html: str
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Animation:
    """Figures of one size shown one after another, over and over, written as one ``.gif``.

    Args:
        frames: The figures, one at least.
        seconds: How long each is shown.

    Raises:
        UsageError: If there is no frame, or one is shown for less than a hundredth of a second.
    """

    frames: Sequence[Figure]
    seconds: float = 0.1

    def __post_init__(self) -> None:
        if not self.frames:
            raise UsageError("animation: frames must be one figure at least, got none.")
        if not self.seconds >= 0.01:
            raise UsageError(f"animation: seconds must be at least 0.01, got {self.seconds}.")


Drawing = Union["Figure", Page, Animation]
"""What a visualizer may return."""
