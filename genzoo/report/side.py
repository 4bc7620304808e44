"""Several runs beside each other: what differs in their recipes, and their numbers. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genzoo.parts.pages import text
from genzoo.report.curves import Line, chart, lines_of
from genzoo.report.facts import number, table
from genzoo.runs.compared import differing, paired_differences
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import reports_of


def side_by_side(names: Sequence[str], folders: Sequence[RunFolder], records: Sequence[dict[str, Any]]) -> str:
    """A table of what differs, one of the numbers, and the curves that they have in common."""
    headers = ["", *names]
    different = [
        [f"<code>{text(key)}</code>", *(text("–" if value is None else value) for value in values)]
        for key, values in differing(folders).items()
    ]
    found = table(headers, different) if different else "<p>Their recipes are the same.</p>"
    numbers, drawn = _numbers(headers, folders, records), _curves(names, folders, records)
    return f"<h3>What differs</h3>{found}<h3>Numbers</h3>{numbers}{drawn}"


def _numbers(headers: Sequence[str], folders: Sequence[RunFolder], records: Sequence[dict[str, Any]]) -> str:
    last = [folder.last_row() or {} for folder in folders]
    ends = [row.get("test") or row.get("train") or {} for row in last]
    reported = dict.fromkeys(report.name for record in records for report in reports_of(record) if report.shown)
    rows = [[text(name), *(number(end.get(name)) for end in ends)] for name in reported]
    measured = [
        {
            f"{key}: {name}": value
            for key, result in record.get("metrics", {}).items()
            for name, value in result.get("values", {}).items()
        }
        for record in records
    ]
    names = dict.fromkeys(name for values in measured for name in values if not name.endswith("-se"))
    for name in (name for name in names if sum(name in values for values in measured) > 1):
        cells = [
            number(values.get(name)) + (f" ± {number(values[f'{name}-se'])}" if f"{name}-se" in values else "")
            for values in measured
        ]
        rows.append([text(name), *cells])
    for key, pairs in paired_differences(folders).items():
        cells = [
            "–" if pair is None else f"{number(pair.mean)} ± {number(pair.standard_error)}, {pair.images:,} images"
            for pair in pairs
        ]
        rows.append([f"{text(key)}, less the first's", "", *cells])
    return table(headers, rows, range(1, len(headers)))


def _curves(names: Sequence[str], folders: Sequence[RunFolder], records: Sequence[dict[str, Any]]) -> str:
    histories = [folder.rows("epoch") for folder in folders]
    common = [
        report
        for report in reports_of(records[0])
        if report.shown and all(any(report.name == other.name for other in reports_of(record)) for record in records)
    ]
    panels: list[str] = []
    for report in {report.name: report for report in common}.values():
        lines: list[Line] = []
        for name, history in zip(names, histories, strict=True):
            split = "test" if any("test" in row for row in history) else "train"
            lines += [(name, epochs, values) for _, epochs, values in lines_of(history, report.name, (split,))]
        panels.append(chart(f"{report.label or report.name}, test", report.unit, lines))
    return f'<div class="charts">{"".join(panels)}</div>'
