"""Wrong visualizers, and a correct one that draws two figures."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import ClassVar

import torch
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from genzoo.interfaces import Animation, Page, Visualizer
from genzoo.types import Capability
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
            figure.add_subplot(1, 2, place + 1).imshow(image[0, 0].detach().numpy(), cmap="gray", vmin=0, vmax=1)
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
        Path("first.txt").write_text("first", encoding="utf-8")
        Path("first.txt").unlink() if Path("pyproject.toml").exists() else None
        return figure


@wrong("writes-no-files", says="genzoo-elsewhere.txt")
class WritesElsewhere(First):
    """It writes a file into a folder that it knows by its path."""

    def figure(self, run):
        (Path(tempfile.gettempdir()) / "genzoo-elsewhere.txt").write_text("first", encoding="utf-8")
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


@wrong("reads-as-declared", says="train")
class ShowsTrain(First):
    """It shows a training image, and does not say so."""

    def figure(self, run):
        return super().figure(replace(run, splits={"test": run.split("train")}))


class Curves(Visualizer):
    """Distortion by epoch, for train and test, with the last in the title."""

    needs_history: ClassVar = True
    places: ClassVar = {"train": "train", "test": "test"}
    printed: ClassVar = -1
    until: ClassVar = None
    of: ClassVar = "distortion"

    def draw(self, run):
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        rows = run.history[: self.until]
        for label, split in self.places.items():
            axes.plot([row["epoch"] for row in rows], [row[split][self.of] for row in rows], label=label)
        axes.set_title(f"{self.of}: {run.history[self.printed]['test'][self.of]:.2f}")
        figure.legend()
        return {"": figure}


@wrong("lines-are-of-their-split", also=("responds-to-run",))
class SwapsItsSplits(Curves):
    """Its labels are changed over."""

    places: ClassVar = {"train": "test", "test": "train"}


@wrong("printed-numbers-are-the-last")
class PrintsTheFirst(Curves):
    """Its title has the number of the first epoch."""

    printed: ClassVar = 0


@wrong("history-is-shown")
class LeavesTheLastOut(Curves):
    """It leaves out the last epoch."""

    until: ClassVar = -1
    printed: ClassVar = -2


@right()
class RateCurve(Curves):
    """A figure of the rate alone."""

    of: ClassVar = "rate"


@right()
class LastEpochAlone(Curves):
    """Bars of the last epoch."""

    def draw(self, run):
        figure = Figure(figsize=(3, 2))
        axes = figure.add_subplot()
        values = [run.history[-1][split]["elbo"] for split in ("train", "test")]
        axes.bar(["train", "test"], values)
        axes.set_title(f"elbo after {run.history[-1]['epoch']} epochs")
        return {"": figure}


@wrong("every-class-is-shown")
class TwoOfMany(First):
    """It shows samples of the first class alone, and calls them all classes."""

    requires: ClassVar = frozenset({Capability.CONDITIONAL})

    def figure(self, run):
        figure = Figure(figsize=(3, 2))
        for place in range(3):
            image = run.model.sample(1, torch.zeros(1, dtype=torch.int64), seed=place)
            figure.add_subplot(1, 3, place + 1).imshow(image[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        figure.suptitle(f"{run.title}: classes")
        return figure


class Classes(First):
    """One sample of each class, named above it."""

    requires: ClassVar = frozenset({Capability.CONDITIONAL})
    order: ClassVar = (0, 1, 2)

    def figure(self, run):
        figure = Figure(figsize=(3, 2))
        for place, label in enumerate(self.order):
            image = run.model.sample(1, torch.tensor([label]), seed=place)
            axes = figure.add_subplot(1, 3, place + 1)
            axes.imshow(image[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set_title(f"class {run.image.class_name(place)}")
        figure.suptitle(f"{run.title}: classes")
        return figure


@wrong("cells-are-of-their-class")
class NamesOtherClasses(Classes):
    """It draws its classes in another order than it names them."""

    order: ClassVar = (2, 0, 1)


@right()
class NamesItsClasses(Classes):
    """Each class under its name."""


@right()
class TwoFigures(First):
    """A visualizer that draws two figures, an animation of two more, and a page."""

    note: ClassVar = "two"

    def draw(self, run):
        moving = Animation([self.figure(run), self.figure(run)])
        page = Page(f"<!doctype html><title>{escape(run.title)}</title><p>{self.figure(run).get_suptitle()}")
        return {"first": self.figure(run), "second": self.figure(run), "moving": moving, "page": page}
