"""A visualizer may return pages and animations beside figures: a run keeps them, and an error of one costs no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import genzoo
from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces import Animation, Page, RunView, Visualizer
from genzoo.parts.figures import new_figure
from genzoo.runs.folder import RunFolder


def draw(self: Visualizer, run: RunView) -> dict[str, object]:
    frames = [new_figure(1.2) for _ in range(2)]
    for number, frame in enumerate(frames):
        frame.add_subplot().plot([0, number])
    return {"": frames[0], "moving": Animation(frames), "page": Page(f"<title>{run.title}</title>")}


def test_a_run_keeps_pages_and_animations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = host().get("visualizer", "samples").load()  # type: ignore[arg-type]
    monkeypatch.setattr(kind, "draw", draw)
    quick = {"network": "mlp", "epochs": 1, "limit": 16, "progress": False}
    run = genzoo.run("vae", data="digits", viz="samples", out=tmp_path, **quick)
    folder = RunFolder(run.path)
    assert folder.record()["figures"]["samples"] == {
        "files": ["samples.png", "samples-moving.gif", "samples-page.html"]
    }
    assert (folder.figures / "samples-page.html").read_text(encoding="utf-8") == "<title>vae on digits</title>"
    with Image.open(folder.figures / "samples-moving.gif") as image:
        assert image.n_frames == 2
    drawn = run.figures("samples")
    assert [type(item).__name__ for item in drawn.values()] == ["HouseFigure", "Animation", "Page"]
    monkeypatch.setattr(kind, "draw", lambda self, view: {"": Page("<title>x</title>")})
    with pytest.raises(UsageError, match="samples must draw a figure, got Page"):
        run.figure("samples")
