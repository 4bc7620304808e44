"""What run.json says of a run when it begins: what was asked for, by whom made, on which machine. Imports no torch."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genzoo import __version__
from genzoo.compose.plan import Plan
from genzoo.declare import API_VERSION
from genzoo.process import processor
from genzoo.runs.commit import commit_of
from genzoo.runs.folder import SCHEMA
from genzoo.runs.identity import identity


def first_record(resolved: Plan, argv: Sequence[str]) -> dict[str, Any]:
    """The record of a run that is about to begin."""
    return {
        "schema": SCHEMA,
        "status": "running",
        "title": resolved.title,
        "argv": list(argv),
        "seed": resolved.train.seed,
        "created": now(),
        "genzoo": __version__,
        "plugin_api": API_VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "git_commit": commit_of(Path.cwd()),
        "components": resolved.records(),
        "identity": identity(resolved),
    }


def now() -> str:
    """The time, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
