"""Files of what visualizers return: figures as PNG or SVG, animations as GIF, pages as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.animation import PillowWriter

from genzoo.interfaces.drawing import Animation, Drawing, Page
from genzoo.parts.figures import DPI, house_style, render, show_literally
from genzoo.storage import replace


def contents(drawing: Drawing, formats: Sequence[str] = ("png",)) -> Mapping[str, bytes]:
    """The files of a drawing: extension → bytes; the same drawing gives the same bytes.

    Args:
        drawing: Anything that a visualizer may return.
        formats: Of a figure, ``png`` and ``svg``; animations and pages have one each.

    Raises:
        UsageError: If a format is unknown.
    """
    if isinstance(drawing, Page):
        return {"html": drawing.html.encode()}
    if isinstance(drawing, Animation):
        return {"gif": _gif(drawing)}
    return {format: render(drawing, format) for format in formats}


def save_drawing(drawing: Drawing, path: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write a drawing beside ``path``, one file a format. See `contents`.

    Args:
        drawing: What to write.
        path: Without the extension, which each format adds.
        formats: Of a figure.

    Returns:
        The files written.

    Raises:
        UsageError: If a format is unknown; nothing is written then.
        StorageError: If a file cannot be written.
    """
    files = {path.with_name(f"{path.name}.{name}"): content for name, content in contents(drawing, formats).items()}
    for file, content in files.items():
        replace(file, content)
    return list(files)


def _gif(animation: Animation) -> bytes:
    with TemporaryDirectory(prefix="genzoo-gif-") as folder:
        file = Path(folder) / "animation.gif"
        writer = PillowWriter(fps=1 / animation.seconds)  # pyright: ignore[reportArgumentType]
        with house_style(), writer.saving(animation.frames[0], file, DPI):
            for frame in animation.frames:
                show_literally(frame)
                writer.fig = frame
                writer.grab_frame(facecolor="white")
        return file.read_bytes()
