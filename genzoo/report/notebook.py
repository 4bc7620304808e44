"""Pages and runs as a notebook shows them. Imports no torch."""

from __future__ import annotations

from html import escape
from pathlib import Path

from genzoo import storage
from genzoo.errors import UsageError
from genzoo.parts.pages import data_uri, text
from genzoo.report.facts import number
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import reports_of

HEIGHT = 760
"""Pixels that a notebook gives to a page, which scrolls in them."""


class Document:
    """A page of HTML that needs no other file: a notebook shows it, and `save` writes it.

    Args:
        html: The whole document.

    Example:
        >>> Document("<title>x</title>")
        <Document, 16 bytes>
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def __repr__(self) -> str:
        return f"<Document, {len(self.html.encode()):,} bytes>"

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which can run its scripts and reach nothing of the notebook."""
        return (
            f'<iframe title="genzoo" sandbox="allow-scripts" width="100%" height="{HEIGHT}" '
            f'srcdoc="{escape(self.html)}"></iframe>'
        )

    def save(self, path: str | Path, *, replace: bool = False) -> Path:
        """Write the page, and return where it is.

        Args:
            path: A file that ends in .html.
            replace: Whether a file that is there gives way.

        Raises:
            UsageError: If the name is another, or the file is there.
        """
        target = Path(path)
        if target.suffix != ".html":
            raise UsageError(f"save: path must end in .html, got {str(path)!r}.")
        if target.exists() and not replace:
            raise UsageError(f"save: path must not exist, got {str(path)!r}, which does.", "Write replace=True.")
        storage.replace(target, self.html.encode())
        return target


def summary(folder: RunFolder, line: str) -> str:
    """A run in short: what it is, its verdict, its last numbers and its figures.

    Args:
        folder: The run.
        line: What it is, in one line.
    """
    record = folder.record()
    row = folder.last_row() or {}
    numbers = row.get("test") or row.get("train") or {}
    shown = ", ".join(
        f"{text(report.label or report.name)} <b>{number(numbers[report.name])}</b> {text(report.unit)}".strip()
        for report in reports_of(record)
        if report.shown and report.name in numbers
    )
    parts = [f"<p><b>{text(line)}</b><br>{text(record.get('verdict', ''))}</p>"]
    parts += [f"<p>{shown}</p>"] if shown else []
    for path in sorted(folder.figures.glob("*.png")):
        address = data_uri(path.read_bytes(), "image/png")
        parts.append(f'<img alt="{text(path.stem)}" src="{address}" style="max-width:800px">')
    return "\n".join(parts)
