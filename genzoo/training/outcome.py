"""What a run came to, for who started it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genzoo.runs.folder import RunFolder


@dataclass
class Outcome:
    """What a run came to.

    Args:
        folder: The run folder.
        row: The last epoch's row, None if there is none.
        verdict: In plain words.
        figures: key → files or error.
        metrics: key → values or error.
        exit_code: 0, or 1 when a figure or metric failed.
    """

    folder: RunFolder
    row: Mapping[str, Any] | None = None
    verdict: str = ""
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    exit_code: int = 0
