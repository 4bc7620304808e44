"""The lifecycle hooks; imports neither torch nor TensorBoard until a run asks for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genzoo.declare import hookimpl

VARIABLE = "GENZOO_TENSORBOARD"
"""Environment variable that turns tracking on."""


def wanted() -> bool:
    """Whether tracking is on: the variable is set to something other than nothing, 0, no or false."""
    return os.environ.get(VARIABLE, "").lower() not in {"", "0", "no", "false"}


@hookimpl
def genzoo_run_start(folder: Path, record: Mapping[str, Any]) -> None:
    if wanted():
        from genzoo_tensorboard.writer import write_start

        write_start(folder, record)


@hookimpl
def genzoo_epoch_end(folder: Path, row: Mapping[str, Any]) -> None:
    if wanted():
        from genzoo_tensorboard.writer import write_row

        write_row(folder, row)


@hookimpl
def genzoo_run_end(folder: Path, status: str, figures: Sequence[Path]) -> None:
    if wanted():
        from genzoo_tensorboard.writer import write_end

        write_end(folder, status, figures)
