"""Checks of what visualizers and metrics read: the splits that they declare, and no other."""

from __future__ import annotations

from typing import Any

from genzoo.interfaces import Measurement, Page
from genzoo.testing.building import first_view
from genzoo.testing.checking import check, expect
from genzoo.testing.checks.runs import BOTH, figures_of, perform
from genzoo.testing.subject import Subject
from genzoo.testing.watching import watched


def words(made: Any, plugin: Any) -> str:
    """All that is written on figures and pages, or said of numbers, in lower case."""
    found: list[str] = [getattr(plugin, "protocol", "") or ""]
    if isinstance(made, Measurement):
        found.append(made.protocol)
    found += [drawing.html for drawing in made.values() if isinstance(drawing, Page)]
    for name, figure in figures_of(made).items():
        found.append(name)
        if not isinstance(figure, (int, float)):
            from matplotlib.text import Text

            found += [text.get_text() for text in figure.findobj(Text)]
    return " ".join(found).lower()


@check(
    "reads-as-declared",
    *BOTH,
    why="A number or figure of training images that passes for one of test images makes every model look better than it is.",
    mend="Read the test split; or declare the splits that it reads as `reads`, and say so on the figure or in `protocol`.",
)
def reads_as_declared(subject: Subject) -> None:
    """It reads the splits of `reads`; where that is not stated the test split alone, or another that its words name."""
    plugin = subject.build()
    view, read = watched(first_view(plugin, subject))
    made = perform(plugin, view)
    if plugin.reads is not None:
        unknown = set(plugin.reads) - set(view.splits)
        expect(not unknown, f"`reads` among {', '.join(view.splits)}", ", ".join(sorted(unknown)))
        more = read - set(plugin.reads)
        declared = ", ".join(sorted(plugin.reads)) or "no"
        expect(not more, f"the splits of `reads` alone, {declared}", f"{', '.join(sorted(more))} read too")
        return
    said = words(made, plugin)
    unsaid = {name for name in read - {"test"} if name not in said}
    expect(not unsaid, "the test split alone, since `reads` is not stated", f"{', '.join(sorted(unsaid))} read")
    claims = "test" in said and "test" not in read and read
    expect(not claims, "the test split to be read, which its words name", f"{', '.join(sorted(read))} alone")
