"""Writes rows and figures as TensorBoard events; each call opens the log and closes it, so nothing is lost or left open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


@contextmanager
def _log(folder: Path) -> Iterator[SummaryWriter]:
    writer = SummaryWriter(str(folder / FOLDER))
    try:
        yield writer
    finally:
        writer.close()


def write_start(folder: Path, record: Mapping[str, Any]) -> None:
    """The run's title and recipe as text."""
    recipe = (folder / "config.toml").read_text(encoding="utf-8")
    with _log(folder) as log:
        log.add_text("recipe", f"{record.get('title', '')}\n\n```toml\n{recipe}\n```")


def write_row(folder: Path, row: Mapping[str, Any]) -> None:
    """The numbers of one row, by epoch; those of the stage that fits a prior under ``prior/``."""
    second = row["kind"] == "prior"
    step = row["prior_epoch"] if second else row["epoch"]
    groups = {name: row[name] for name in ("train", "holdout", "test", "quantities") if name in row}
    with _log(folder) as log:
        for group, numbers in groups.items():
            for name, value in scalars(numbers):
                log.add_scalar(f"{'prior/' if second else ''}{group}/{name}", value, step)
        speed = row.get("images_per_second")
        if speed:
            log.add_scalar("images_per_second", speed, step)


def write_end(folder: Path, status: str, figures: Sequence[Path]) -> None:
    """The figures as images, and how the run ended."""
    from matplotlib import image

    with _log(folder) as log:
        log.add_text("status", status)
        for path in figures:
            if path.suffix == ".png" and path.exists():
                log.add_image(path.stem, image.imread(path)[..., :3], dataformats="HWC")


def scalars(numbers: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number of a nested mapping with its path; the levels of ``rates`` as ``rate_1``, ``rate_2`` …"""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            for below, number in scalars(value):
                yield f"{name}/{below}", number
        elif isinstance(value, list):
            if len(value) > 1:
                yield from ((f"{name.removesuffix('s')}_{level + 1}", number) for level, number in enumerate(value))
        elif isinstance(value, (int, float)):
            yield name, float(value)
