"""Wrong visualizers, and a correct one that draws two figures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from genzoo.interfaces import Visualizer
from wrong_plugins.ledger import right, wrong


class First(Visualizer):
    """The first image of the test split and its reconstruction."""

    def draw(self, run):
        return {"": self.figure(run)}

    def figure(self, run):
        figure = Figure(figsize=(3, 2))
        batch = run.batch(1)
        shown = run.model.likelihood.display(run.model(batch).likelihood)[0]
        for place, image in enumerate((batch.image, shown)):
            figure.add_subplot(1, 2, place + 1).imshow(image[0, 0].detach().numpy(), cmap="gray")
        figure.suptitle(run.title)
        return figure


@wrong("draws-figures", also=("responds-to-run",))
class DrawsNothing(First):
    """It returns no figure."""

    def draw(self, run):
        return {}


@wrong("figure-names-safe")
class NamesAPath(First):
    """Its figure is named by a path."""

    def draw(self, run):
        return {"../first": self.figure(run)}


class OnlyBitmaps(Artist):
    """An artist that SVG cannot take."""

    def draw(self, renderer):
        if not hasattr(renderer, "buffer_rgba") and "Agg" not in str(getattr(renderer, "_renderer", "")):
            raise TypeError("a bitmap is needed")


@wrong("renders")
class CannotBeSvg(First):
    """It holds an artist that cannot be drawn as SVG."""

    def figure(self, run):
        figure = super().figure(run)
        figure.add_artist(OnlyBitmaps())
        return figure


@wrong("not-blank", also=("responds-to-run",))
class DrawsNoMarks(First):
    """Its figure is blank but for a full stop."""

    def figure(self, run):
        figure = Figure(figsize=(8, 6))
        figure.suptitle(".", fontsize=3)
        return figure


@wrong("says-what-it-shows")
class SaysNothing(First):
    """Its figure has no word on it."""

    def figure(self, run):
        figure = super().figure(run)
        figure.suptitle("")
        return figure


@wrong("pyplot-left-alone")
class LeavesAFigureOpen(First):
    """It opens a figure in pyplot and leaves it there."""

    def figure(self, run):
        import matplotlib.pyplot as plt

        plt.figure()
        return super().figure(run)


@wrong("settings-left-alone", also=("same-seed-same-result", "responds-to-run"))
class SetsTheStyle(First):
    """It changes the font size for everybody."""

    def figure(self, run):
        import matplotlib as mpl

        mpl.rcParams["font.size"] = mpl.rcParams["font.size"] + 1
        return super().figure(run)


@wrong("writes-no-files")
class WritesAFile(First):
    """It writes a file of its own."""

    def figure(self, run):
        figure = super().figure(run)
        Path("first.txt").write_text("first")
        Path("first.txt").unlink() if Path("pyproject.toml").exists() else None
        return figure


@wrong("writes-no-files", says="genzoo-elsewhere.txt")
class WritesElsewhere(First):
    """It writes a file into a folder that it knows by its path."""

    def figure(self, run):
        (Path(tempfile.gettempdir()) / "genzoo-elsewhere.txt").write_text("first")
        return super().figure(run)


@wrong("responds-to-run", name="always-the-same")
class AlwaysTheSame(First):
    """It shows the same curve for every run."""

    def figure(self, run):
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        axes.plot([1, 3, 2])
        axes.set_title("a curve")
        return figure


@wrong("requires-as-declared", name="needs-a-plane")
class NeedsAPlane(First):
    """It reads the log-variance of a posterior and requires no real latent."""

    def figure(self, run):
        assert run.model.encode(run.batch(2)).latents[0].posterior.log_variance is not None
        return super().figure(run)


@right()
class TwoFigures(First):
    """A visualizer that draws two figures."""

    note: ClassVar = "two"

    def draw(self, run):
        return {"first": self.figure(run), "second": self.figure(run)}
