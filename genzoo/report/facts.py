"""What a run folder says about its run, as HTML. Imports no torch.

Everything comes from files that anybody may have written, so all of it passes through `genzoo.parts.pages.text`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from genzoo.bounded import read_text
from genzoo.errors import GenzooError
from genzoo.findings import Finding
from genzoo.host.plugin_host import Host
from genzoo.parts.pages import block, text
from genzoo.recipe import read_recipe
from genzoo.report.curves import chart, lines_of
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import reports_of
from genzoo.studies.results import installed_name
from genzoo.text import one_line
from genzoo.types import Kind, Report

_ADDRESS = re.compile(r"https://[^\s<>\"']+[^\s<>\"'.,;)]")
_ROWS = 12
"""Epochs in the table of a run."""

_NUMBERS = 8
"""Numbers of a metric that are shown at once; the others are folded away."""

_BLANK = '<span class="visually-hidden">what</span>'

_SIGNS = {"good": "As it should be", "note": "Worth knowing", "fault": "Fault"}


def number(value: Any, digits: int = 2) -> str:
    """A number as text; a dash for what is none or not finite."""
    if not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        return "–"
    return f"{value:z,.{digits}f}".replace("-", "−")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; the first of each row is its heading.

    Args:
        headers: One a column, as plain text.
        rows: Cells.
        numbers: Columns of numbers, which are set to the right.
    """
    right = [' class="number"' if column in numbers else "" for column in range(len(headers))]
    head = "".join(
        f'<th scope="col"{kind}>{text(cell) or _BLANK}</th>' for cell, kind in zip(headers, right, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row[1:], right[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    label = text(", ".join(header for header in headers if header) or "facts")
    scroll = f'<div class="scroll" role="group" aria-label="Table: {label}" tabindex="0">'
    return f"{scroll}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def title_of(record: Mapping[str, Any], folder: RunFolder) -> str:
    """What a run is called."""
    return str(record.get("title") or folder.path.name)


def header(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """Title, state, and the numbers that come first."""
    words = [str(record.get("status", "unknown")), *([day] if (day := _day(record.get("ended"))) else [])]
    words += [f"seed {record['seed']}"] if "seed" in record else []
    row = folder.last_row() or {}
    split = "test" if "test" in row else "train"
    shown = [report for report in reports_of(record) if report.shown][:4]
    tiles = "".join(
        f'<div class="tile"><dt>{text(_name(report))}</dt>'
        f"<dd>{number(row.get(split, {}).get(report.name))}{_unit(report.unit)}</dd></div>"
        for report in shown
        if report.name in row.get(split, {})
    )
    tiles = f'<dl class="tiles" aria-label="{split} numbers of the last epoch">{tiles}</dl>' if tiles else ""
    of = f"<p class='small'>On {split} images, after epoch {text(row['epoch'])}.</p>" if tiles else ""
    return f'<p class="eyebrow">{text(" · ".join(words))}</p><h1>{text(title_of(record, folder))}</h1>{tiles}{of}'


def command(folder: RunFolder, record: Mapping[str, Any], host: Host) -> str:
    """One line that repeats the run, and the recipe that it repeats."""
    argv = record.get("argv")
    line = "genzoo run --recipe config.toml"
    where = "Save the recipe below as config.toml first."
    if isinstance(argv, list) and argv[:2] == ["genzoo", "run"] and "--resume" not in argv:
        line, where = shlex.join(map(str, argv)), ""
    else:
        name = _installed(folder, host)
        if name is not None:
            line, where = f"genzoo run --recipe {shlex.quote(name)}", ""
            if isinstance(record.get("seed"), int) and record["seed"] != 0:
                line += f" --seed {record['seed']}"
    try:
        recipe = block(read_text(folder.config_file))
    except GenzooError as error:
        recipe = text(error.message)
    where = f'<p class="small">{where}</p>' if where else ""
    return (
        f'<pre class="wrap"><code>{text(line)}</code></pre>{where}'
        f"<details><summary>The recipe, with nothing left out</summary>"
        f'<pre tabindex="0" aria-label="config.toml">{recipe}</pre></details>'
    )


def verdict(record: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """What was found, and why; the recorded paragraph where nothing could be measured again."""
    if not findings:
        told = record.get("verdict") or "There is no verdict: the run has not ended, or nothing could be measured."
        return f"<p>{text(told)}</p>"
    items = "".join(
        f'<li class="{finding.severity}"><b>{_SIGNS[finding.severity]}.</b> {text(finding.text)}'
        + (f" <span>Try {text(finding.remedy)}.</span>" if finding.remedy else "")
        + "</li>"
        for finding in findings
    )
    return f'<ul class="findings">{items}</ul>'


def curves(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """A panel for each number that is reported by epoch, and the epochs as a table."""
    history = folder.rows("epoch")
    reports = _different(reports_of(record))
    panels = [
        chart(report.label or report.name, _per_image(report.unit), lines_of(history, report.name, ("train", "test")))
        for report in reports
        if report.shown
    ]
    drawn = "".join(panel for panel in panels if panel)
    if not drawn:
        return "<p>No epoch has ended yet.</p>"
    shown = history if len(history) <= _ROWS else [*history[:2], *history[2 - _ROWS :]]
    names = [report for report in reports if report.shown]
    splits = [split for split in ("train", "test") if any(split in row for row in shown)]
    headers = ["epoch", *(f"{split} {report.name}" for split in splits for report in names)]
    rows = [
        [
            text(row["epoch"]),
            *(number(row.get(split, {}).get(report.name)) for split in splits for report in names),
        ]
        for row in shown
    ]
    left = "" if len(shown) == len(history) else f", {len(shown)} of {len(history)}"
    numbers = table(headers, rows, range(1, len(headers)))
    return f'<div class="charts">{drawn}</div><details><summary>Numbers by epoch{left}</summary>{numbers}</details>'


def metrics(record: Mapping[str, Any]) -> str:
    """Each metric's numbers with error and unit, and its protocol."""
    parts: list[str] = []
    for key, result in record.get("metrics", {}).items():
        if "error" in result:
            parts.append(f"<h3>{text(key)}</h3><p>It failed: {text(result['error'])}</p>")
            continue
        values, units = result.get("values", {}), result.get("units", {})
        rows = [
            [
                text(name),
                _measured(value),
                f"± {number(values[f'{name}-se'])}" if f"{name}-se" in values else "",
                text(units.get(name, result.get("unit", ""))),
            ]
            for name, value in values.items()
            if not (name.endswith("-se") and name.removesuffix("-se") in values)
        ]
        notes = "".join(f"<p><b>Read this with it:</b> {text(note)}</p>" for note in result.get("warnings", ()))
        protocol = f'<p class="small">{text(result["protocol"])}</p>' if result.get("protocol") else ""
        rest = rows[_NUMBERS:]
        more = f"<details><summary>{len(rest)} more numbers</summary>{_measurements(rest)}</details>" if rest else ""
        parts.append(f"<h3>{text(key)}</h3>{protocol}{notes}{_measurements(rows[:_NUMBERS])}{more}")
    return "".join(parts)


def _measurements(rows: Sequence[Sequence[str]]) -> str:
    """A table of numbers without the columns that nothing stands in."""
    headers = ["number", "value", "standard error", "unit"]
    kept = [column for column in range(4) if column < 2 or any(row[column] for row in rows)]
    right = [place for place, column in enumerate(kept) if column in {1, 2}]
    return table([headers[column] for column in kept], [[row[column] for column in kept] for row in rows], right)


def _measured(value: Any) -> str:
    if isinstance(value, int | float) and value == value and abs(value) < 1e15 and value == int(value):
        return number(value, 0)
    return number(value, 4 if isinstance(value, int | float) and abs(value) < 1 else 2)


def parts(record: Mapping[str, Any], host: Host) -> str:
    """The run's plugins with version, options and paper."""
    rows = [
        [
            f"{text(kind)} <b>{text(part.get('name', '?'))}</b>",
            text(f"{part.get('distribution', '?')} {part.get('version', '')}"),
            _options(part, host),
            _paper(part, host),
        ]
        for kind, part in _components(record.get("components", {}))
    ]
    return table(["part", "from", "options that differ from the defaults", "paper"], rows)


def machine(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """Where and with what the run was trained, on which data."""
    settings = record.get("settings", {})
    seconds = sum(row.get("seconds") or 0 for row in folder.rows())
    counts, images = record.get("parameters", {}), record.get("images", {})
    facts = {
        "Processor": record.get("processor"),
        "System": record.get("platform"),
        "Device": settings.get("device"),
        "Training steps in": settings.get("precision"),
        "Threads": settings.get("threads"),
        "Trained for": f"{seconds / 60:.1f} minutes" if seconds else None,
        "genzoo": record.get("genzoo"),
        "torch": settings.get("torch"),
        "Python": record.get("python"),
        "Commit": record.get("git_commit"),
        "Weights": f"{counts['total']:,}" if isinstance(counts.get("total"), int) else None,
        "Images": ", ".join(f"{value:,} {name}" for name, value in images.items() if isinstance(value, int)),
        "Run": folder.path.name,
    }
    rows = [[text(name), text(value)] for name, value in facts.items() if value not in {None, ""}]
    digests = [
        [text(f"{split}, {what}"), f"<code>{text(found[what])}</code>"]
        for split, found in (record.get("data") or {}).get("splits", {}).items()
        for what in ("images", "labels", "factors")
        if found.get(what)
    ]
    hashes = (
        f"<details><summary>SHA-256 of the data</summary>{table(['split', 'digest'], digests)}</details>"
        if digests
        else ""
    )
    return table(["", ""], rows).replace("<thead><tr><th", "<thead hidden><tr><th", 1) + hashes


def _components(components: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for slot, found in components.items():
        if slot in {"visualizers", "metrics"}:
            continue
        if slot == "schedulers":
            for name, several in found.items():
                for part in several:
                    yield f"scheduler of {name}", part
        elif isinstance(found, dict):
            yield slot, found


def _declared(part: Mapping[str, Any], host: Host) -> Any:
    try:
        return host.get(Kind(part.get("kind", "")), str(part.get("name")))
    except (GenzooError, ValueError):
        return None


def _options(part: Mapping[str, Any], host: Host) -> str:
    installed = _declared(part, host)
    defaults: Mapping[str, Any] = {}
    if installed is not None:
        try:
            defaults = installed.make_options({}).model_dump(mode="json")
        except GenzooError:
            defaults = {}
    options = part.get("options", {})
    shown = [
        f"{key.replace('_', '-')} = {_value(value)}"
        for key, value in options.items()
        if key not in defaults or defaults[key] != value
    ]
    return f"<code>{'<br>'.join(text(item) for item in shown)}</code>" if shown else ""


def _value(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _paper(part: Mapping[str, Any], host: Host) -> str:
    installed = _declared(part, host)
    paper = one_line(installed.component.paper) if installed is not None else ""
    found = _ADDRESS.search(paper)
    if found is None:
        return text(paper)
    words = paper[: found.start()].rstrip(" ,;") or found[0]
    return f'<a href="{text(found[0])}" rel="noreferrer">{text(words)}</a>'


def _installed(folder: RunFolder, host: Host) -> str | None:
    try:
        return installed_name(read_recipe(folder.config_file), host)
    except GenzooError:
        return None


def _different(reports: Sequence[Report]) -> list[Report]:
    return list({report.name: report for report in reports}.values())


def _name(report: Report) -> str:
    return report.label or report.name


def _unit(unit: str) -> str:
    return f' <span class="unit">{text(unit)}</span>' if unit else ""


def _per_image(unit: str) -> str:
    return "nats per image" if unit == "nats" else unit


def _day(stamp: Any) -> str:
    try:
        return f"{datetime.fromisoformat(str(stamp)):%-d %B %Y}"
    except ValueError:
        return ""
