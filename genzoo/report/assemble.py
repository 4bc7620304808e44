"""From runs to one page: the facts of each, its figures, and the sections that visualizers make of the model itself."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

from genzoo.compose.build import add_visualizer
from genzoo.compose.plan import Choice
from genzoo.engine.signals import StopRequested
from genzoo.errors import GenzooError, Interrupted, UsageError, describe
from genzoo.findings import Finding
from genzoo.host.plugin_host import Host
from genzoo.interfaces.drawing import Drawing, Page, Section
from genzoo.interfaces.view import RunView
from genzoo.parts.drawings import contents
from genzoo.parts.pages import data_uri, page, text
from genzoo.process import own_state
from genzoo.recipe import Part
from genzoo.report import facts
from genzoo.report.side import side_by_side
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import LoadedRun, load_run
from genzoo.training.closing import findings_of
from genzoo.training.draw import at_rest
from genzoo.types import Kind

_log = logging.getLogger("genzoo.run")

PAGES = ("explorer",)
"""Visualizers whose sections a report has unless others are named; left out where they are not installed."""

FIGURES = ("reconstructions", "samples")
"""A run without figures gets the first of these that fits it."""

MOST_BYTES = 4 * 2**20
"""Size of the figures of one run in a report; further ones are named."""

_KINDS = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}


@own_state()
def report(
    folders: Sequence[RunFolder],
    host: Host,
    *,
    pages: Mapping[str, Part] | None = None,
    best: bool = False,
    data: Mapping[str, Any] | None = None,
    title: str = "",
) -> Page:
    """One page about runs, which needs no other file and no network.

    Args:
        folders: The runs, one at least.
        host: Where their plugins come from.
        pages: Key → visualizer whose page stands in the report; None for `PAGES`, as far as they are installed.
        best: Take each run's checkpoint with the best held-out elbo.
        data: Options of the dataset that say where its files lie now.
        title: Of the page; of one run its own title unless given.

    Raises:
        UsageError: If there is no run, or a page is asked for that no plugin makes.
    """
    if not folders:
        raise UsageError("report: runs must be one at least, got none.")
    asked = pages is not None
    if pages is None:
        known = {installed.name for installed in host.components(Kind.VISUALIZER)}
        pages = {name: Part(name=name) for name in PAGES if name in known}
    runs = [_Reported(folder, host, best, dict(data or {})) for folder in folders]
    sections: list[Section] = []
    if len(runs) > 1:
        names = [run.name for run in runs]
        body = side_by_side(names, folders, [run.record for run in runs])
        sections.append(_section("side-by-side", "Side by side", body))
    for run in runs:
        sections += run.sections(pages, asked=asked, alone=len(runs) == 1)
    called = title or (facts.title_of(runs[0].record, folders[0]) if len(runs) == 1 else f"{len(runs)} runs")
    if len(runs) == 1 and not title:
        head = f"<header>{facts.header(folders[0], runs[0].record)}</header>"
    else:
        listed = text(", ".join(run.name for run in runs))
        head = f'<header><p class="eyebrow">genzoo report</p><h1>{text(called)}</h1><p>{listed}</p></header>'
    return page(f"{called}: genzoo report", sections, head=head)


class _Reported:
    """One run of a report: each part of it in isolation, since one that fails must cost no other."""

    def __init__(self, folder: RunFolder, host: Host, best: bool, data: dict[str, Any]) -> None:
        self.folder, self.host, self.best, self.data = folder, host, best, data
        self.record = folder.record()
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return f"{facts.title_of(self.record, self.folder)}, {self.folder.path.name[-22:]}"

    @cached_property
    def loaded(self) -> LoadedRun:
        return load_run(self.folder, self.host, best=self.best, data=self.data)

    @cached_property
    def view(self) -> RunView:
        return self.loaded.view()

    def sections(self, pages: Mapping[str, Part], *, asked: bool, alone: bool) -> list[Section]:
        """The run's sections, in order."""
        found: list[Section] = []
        if not alone:
            found.append(_section("run", "", f"<header>{facts.header(self.folder, self.record)}</header>"))
        findings = self._findings()
        found.append(_section("verdict", "Verdict", facts.verdict(self.record, findings)))
        for key, part in pages.items():
            found += self._page(key, part, asked)
        found.append(_section("run-again", "Run it again", facts.command(self.folder, self.record, self.host)))
        found.append(_section("training", "Training", facts.curves(self.folder, self.record)))
        for name, title, body in (
            ("metrics", "Metrics", facts.metrics(self.record)),
            ("figures", "Figures", self._figures()),
            ("parts", "Parts", facts.parts(self.record, self.host)),
            ("machine", "Machine and versions", facts.machine(self.folder, self.record)),
        ):
            if body:
                found.append(_section(name, title, body))
        if self.notes:
            notes = "".join(f"<li>{text(note)}</li>" for note in self.notes)
            found.append(_section("notes", "Left out", f"<ul>{notes}</ul>"))
        return found

    def _findings(self) -> Sequence[Finding]:
        try:
            return findings_of(self.loaded.experiment, self.view, self.folder.last_row())
        except (KeyboardInterrupt, StopRequested, Interrupted):
            raise
        except Exception as error:
            self._note("The verdict's reasons", error)
            return ()

    def _page(self, key: str, part: Part, asked: bool) -> list[Section]:
        """The sections of a visualizer's page; a note says why there are none."""
        try:
            for drawing in self._draw(key, part).values():
                if isinstance(drawing, Page) and drawing.sections:
                    return list(drawing.sections)
        except (KeyboardInterrupt, StopRequested, Interrupted):
            raise
        except Exception as error:
            self._note(f"The page of {key}", error)
            return []
        if asked:
            raise UsageError(
                f"report: --page must name a visualizer that makes a page for reports, got {part.name}.",
                "One that draws figures belongs to the run: genzoo viz RUN NAME.",
            )
        return []

    def _draw(self, key: str, part: Part) -> Mapping[str, Drawing]:
        installed = self.host.get(Kind.VISUALIZER, part.name)
        choice = Choice(installed, installed.make_options(part.options), asked=True)
        visualizer = add_visualizer(self.loaded.experiment, choice)
        with at_rest(self.view, f"figure:{key}"):
            return visualizer.draw(self.view.limited_to(visualizer.reads))

    def _figures(self) -> str:
        """The run's figures; of a run without any, one that is drawn for the report."""
        shown: list[str] = []
        room = MOST_BYTES
        paths = [path for path in sorted(self.folder.figures.glob("*")) if path.suffix in _KINDS and path.is_file()]
        for path in paths:
            content = path.read_bytes()
            if len(content) > room:
                self.notes.append(f"The figure {path.name}: with it the figures would take more than 4 MiB.")
                continue
            room -= len(content)
            shown.append(_picture(path.stem, data_uri(content, _KINDS[path.suffix])))
        return "".join(shown) if shown else self._drawn_figure()

    def _drawn_figure(self) -> str:
        for name in FIGURES:
            try:
                drawn = self._draw(name, Part(name=name))
                found = [contents(drawing)["png"] for drawing in drawn.values() if not isinstance(drawing, Page)]
            except (KeyboardInterrupt, StopRequested, Interrupted):
                raise
            except Exception as error:
                _log.debug("figure %s was not drawn for the report", name, exc_info=error)
                continue
            return "".join(_picture(name, data_uri(_smaller(content), "image/png")) for content in found)
        return ""

    def _note(self, what: str, error: Exception) -> None:
        told = error.message if isinstance(error, GenzooError) else describe(error)
        self.notes.append(f"{what}: {told}")
        _log.warning("report: %s is left out: %s", what, told)


def _section(name: str, title: str, body: str) -> Section:
    return Section(f"report {name}", title, body, _style())


def _style() -> str:
    return files("genzoo.report").joinpath("report.css").read_text("utf-8")


def _picture(name: str, address: str) -> str:
    caption = text(name.replace("-", " "))
    return f'<figure class="drawn"><img alt="{caption}" src="{address}"><figcaption>{caption}</figcaption></figure>'


def _smaller(png: bytes) -> bytes:
    """The same picture in 16 colours, where that takes less."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(16, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(png, buffer.getvalue(), key=len)
