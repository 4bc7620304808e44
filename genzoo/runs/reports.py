"""Which numbers the rows of a run hold, as its objective declared them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genzoo.types import Report

OF_LOSSES = (
    Report("distortion", "Distortion D", "nats", "lower"),
    Report("rate", "Rate R", "nats", scale="log"),
    Report("elbo", "ELBO", "nats", "higher"),
)
"""Those of a run that genzoo 0.1 made, which knew losses alone."""


def written(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """What run.json keeps."""
    return [asdict(report) for report in reports]


def reports_of(record: Mapping[str, Any]) -> tuple[Report, ...]:
    """The declared reports of a run, from its run.json."""
    known = Report.__dataclass_fields__
    rows = record.get("reports")
    if not isinstance(rows, list):
        return OF_LOSSES
    return tuple(
        Report(**{key: value for key, value in row.items() if key in known})
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("name"), str)
    )


def names_shown(reports: Iterable[Report]) -> list[str]:
    """Names of the reports that tables show, each once, in their order."""
    return list(dict.fromkeys(report.name for report in reports if report.shown))


def cells(numbers: Mapping[str, Any] | None, names: Sequence[str]) -> list[str]:
    """The named numbers of a row's split as text, ``-`` for one that is not there."""
    found = [(numbers or {}).get(name) for name in names]
    return [f"{value:z.2f}" if isinstance(value, int | float) else "-" for value in found]
