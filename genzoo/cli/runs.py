"""``genzoo runs``: list, show, compare, record and remove runs. Imports no torch."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import click

from genzoo import storage
from genzoo.cli import console
from genzoo.errors import RunExistsError, UsageError
from genzoo.runs.compared import differing, paired_differences
from genzoo.runs.find import elsewhere, find_run, runs_root
from genzoo.runs.folder import RunFolder, is_own, is_run
from genzoo.runs.listing import listed, status, summary
from genzoo.runs.per_image import Paired
from genzoo.runs.reports import OF_LOSSES, cells, names_shown, reports_of
from genzoo.text import one_line

OUT = click.option("--out", metavar="FOLDER", help="Folder of runs.  [default runs, or $GENZOO_RUNS]")
JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group("runs")
def runs() -> None:
    """List, show, compare, record and remove runs."""


@runs.command("list")
@OUT
@JSON
def list_(out: str | None, as_json: bool) -> None:
    """List the runs, oldest first, with what differs between those of the same model and data."""
    rows = listed(runs_root(out), lambda text: console.say(f"Warning: {text}", err=True))
    if as_json:
        console.print_json(rows)
        return
    if not rows:
        console.say(f"There is no run in {runs_root(out)}. Start one with `genzoo run vae`.", err=True)
        return
    names = list(dict.fromkeys(name for row in rows for name in row["reports"]))
    lines = [
        [
            row["name"],
            row["status"],
            str(row["epoch"] or "-"),
            *cells(row["numbers"], names),
            row["title"],
            row["differs"],
        ]
        for row in rows
    ]
    headers = ["run", "status", "epoch", *names, "what", "differs in"]
    console.show(console.table(headers, lines, console.width()))


@runs.command("show")
@click.argument("run")
@OUT
@JSON
def show(run: str, out: str | None, as_json: bool) -> None:
    """Show one run, also while it goes on."""
    folder = find_run(run, runs_root(out))
    record, rows = folder.record(), folder.rows("epoch")
    if as_json:
        console.print_json({"path": str(folder.path), **record, "status": status(folder, record), "history": rows})
        return
    fitted = folder.rows("fitted")
    console.say(f"{record.get('title')}: {status(folder, record)}  {folder.path}")
    reason = record.get("exit_reason")
    if reason:
        console.show(console.paragraph(f"Ended: {reason}", console.width()))
    shown = rows if len(rows) <= 12 else [*rows[:2], *rows[-10:]]
    names = names_shown(reports_of(record))
    lines = [
        [
            str(row["epoch"]),
            *cells(row["train"], names),
            *cells(row.get("test"), names),
            f"{row.get('quantities', {}).get('beta', float('nan')):.2f}",
            f"{row.get('seconds') or 0:.1f}",
        ]
        for row in shown
    ]
    titles = [{"distortion": "D", "rate": "R"}.get(name, name) for name in names]
    headers = ["epoch", *_split_titles("train", titles), *_split_titles("test", titles), "beta", "seconds"]
    if lines:
        console.show(console.table(headers, lines, console.width()))
    if fitted:
        asked = names_shown(OF_LOSSES)
        values = zip(asked, cells(fitted[-1]["test"], asked), strict=True)
        numbers = ", ".join(f"{name} {value}" for name, value in values)
        bound = " (by a bound on its density)" if fitted[-1].get("density") == "bound" else ""
        console.show(console.paragraph(f"test with the fitted prior{bound}: {numbers}", console.width()))
    for key, result in record.get("metrics", {}).items():
        console.show(console.paragraph(f"{key}: {console.numbers(result) or result.get('error', '')}", console.width()))
        for warning in result.get("warnings", ()):
            console.show(console.paragraph(f"{key}: {warning}", console.width()))
    if record.get("verdict"):
        console.show(console.paragraph(record["verdict"], console.width()))
    for path in sorted(folder.figures.glob("*.*")):
        console.say(str(path))
    if status(folder, record) in {"interrupted", "failed", "stopped"}:
        console.say(f"Go on with: genzoo run --resume {folder.path}")


@runs.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--figure", metavar="FILE", help="Also draw distortion and rate by epoch into a .png or .svg file.")
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="What a run is called in the figure; one a run.")
@click.option("--title", default="", help="Of the figure.")
@OUT
@JSON
def compare(
    names: tuple[str, ...], figure: str | None, labels: tuple[str, ...], title: str, out: str | None, as_json: bool
) -> None:
    """Compare runs: what differs in their recipes, and their last numbers.

    A metric that left its values per image in the first run and in another is compared on the images that both have: the
    mean difference and its standard error.
    """
    folders = [find_run(name, runs_root(out)) for name in names]
    if labels and len(labels) != len(folders):
        raise UsageError(f"runs compare: --label must be given once a run, {len(folders)} times, got {len(labels)}.")
    if figure is not None:
        _draw_comparison(Path(figure), labels or tuple(folder.path.name for folder in folders), folders, title)
    rows = [
        [key, *("-" if value is None else str(value) for value in values)] for key, values in differing(folders).items()
    ]
    summaries = [summary(folder) for folder in folders]
    for name in dict.fromkeys(name for found in summaries for name in found["reports"]):
        rows.append([f"test {name}", *(cells(found["numbers"], [name])[0] for found in summaries)])
    pairs = paired_differences(folders)
    if as_json:
        fields = {row[0]: row[1:] for row in rows}
        shown = {key: [None if pair is None else asdict(pair) for pair in each] for key, each in pairs.items()}
        console.print_json({"runs": [str(folder.path) for folder in folders], "fields": fields, "paired": shown})
        return
    rows += [[f"{key} less the first's", "-", *map(_difference, each)] for key, each in pairs.items()]
    console.show(console.table(["", *(folder.path.name[:24] for folder in folders)], rows, console.width()))


@runs.command("export")
@click.argument("run")
@click.option("--to", "target", required=True, metavar="FOLDER", help="A new folder for the copy.")
@OUT
def export(run: str, target: str, out: str | None) -> None:
    """Copy RUN without its optimizer and figures: weights, recipe, record, for a plugin to ship as zoo:NAME."""
    from genzoo.runs.export import export_run

    digest = export_run(find_run(run, runs_root(out)), Path(target))
    console.say(f'{target}: declare it with Resource("run", NAME, PATH, sha256="{digest}")')


@runs.command("record")
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--into", required=True, metavar="FILE.csv", help="Where the rows go; made where it is not there.")
@click.option(
    "--as", "called", metavar="NAME", help="Name of the recipe.  [default: the installed one that it repeats]"
)
@click.option("--epoch", "epochs", type=click.IntRange(1), multiple=True, help="Keep that epoch's numbers too.")
@click.option("--replace", is_flag=True, help="A row of the same recipe and seed gives way.")
@OUT
def record(
    names: tuple[str, ...], into: str, called: str | None, epochs: tuple[int, ...], replace: bool, out: str | None
) -> None:
    """Add the numbers of finished runs to a CSV file of results, one row per recipe and seed.

    A row has the protocol, epochs, minutes, processor, versions and the weights' SHA-256, and every number of the last
    epoch and of the metrics. The recipe is kept beside the file, in recipes/NAME.toml.
    """
    from genzoo.host.plugin_host import host
    from genzoo.studies.results import record_results

    if Path(into).suffix != ".csv":
        raise UsageError(f"runs record: --into must end in .csv, got {into!r}.")
    folders = [find_run(name, runs_root(out)) for name in names]
    rows = record_results(folders, Path(into), host(), name=called, epochs=epochs, replace=replace)
    for row in rows:
        console.say(f"{into}: {row['recipe']}, seed {row['seed']}")


@runs.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@OUT
def rm(names: tuple[str, ...], yes: bool, out: str | None) -> None:
    """Remove runs and all that they hold."""
    folders = list({folder.path.resolve(): folder for folder in (_removable(name, out) for name in names)}.values())
    for folder in folders:
        if not yes:
            try:
                agreed = click.confirm(one_line(f"Remove {folder.path} and all that it holds?"), err=True)
            except click.Abort:
                if sys.stdin is not None and sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison] None where it was closed
                    raise
                raise UsageError("runs rm: --yes must be given where nobody can answer; nothing was removed.") from None
            if not agreed:
                console.say(f"Kept {folder.path}", err=True)
                continue
        # Held, so that nobody resumes it meanwhile; Windows removes nothing that is open.
        with folder.locked() if os.name == "posix" else nullcontext():
            storage.remove_folder(folder.path)
        console.say(f"Removed {folder.path}")


def _difference(pair: Paired | None) -> str:
    if pair is None:
        return "-"
    return f"{pair.mean:+.4g} ± {pair.standard_error:.2g} ({pair.images} images)"


def _draw_comparison(target: Path, labels: tuple[str, ...], folders: list[RunFolder], title: str) -> None:
    from genzoo.parts.figures import render
    from genzoo.studies.curves import compare_curves

    if target.suffix not in {".png", ".svg"}:
        raise UsageError(f"runs compare: --figure must end in .png or .svg, got {str(target)!r}.")
    declared = [reports_of(folder.record()) for folder in folders]
    common = [report for report in declared[0] if all(report in others for others in declared)]
    if not common:
        raise UsageError("runs compare: --figure needs runs that report a number in common.", "Leave out --figure.")
    drawn = compare_curves(labels, [folder.rows("epoch") for folder in folders], title, common)
    storage.replace(target, render(drawn, target.suffix.removeprefix(".")))


def _removable(name: str, out: str | None) -> RunFolder:
    if elsewhere(name):
        raise UsageError(f"runs rm: {name} is shipped by a plugin or a hub and is not yours to remove.")
    with suppress(OSError):  # A name that is too long for a file.
        if Path(name).exists() and not is_run(Path(name)):
            raise UsageError(f"runs rm: {name} is no run folder; nothing was removed.", "See `genzoo runs list`.")
    folder = find_run(name, runs_root(out), changes=True)
    if folder.path.is_symlink():
        raise UsageError(f"runs rm: {folder.path} is a link; nothing was removed.", "Name the folder that it leads to.")
    place = folder.path.resolve()
    kept = {"the current folder": _current_folder(), "the folder of runs": runs_root(out), "your home": Path.home()}
    for what, path in kept.items():
        if path is not None and path.resolve().is_relative_to(place):
            raise UsageError(f"runs rm: {folder.path} is or holds {what}; nothing was removed.", "Leave it first.")
    if others := [path.parent for path in place.rglob("run.json") if path.parent != place]:
        raise UsageError(f"runs rm: {folder.path} holds another run, {others[0]}; nothing was removed.")
    if not is_own(folder):
        raise UsageError(f"runs rm: {folder.path} is not known to be a run; nothing was removed.")
    if folder.is_held:
        raise RunExistsError(f"runs rm: {folder.path} is being trained; nothing was removed.", "Stop it first.")
    return folder


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # It was removed.
        return None


def _split_titles(split: str, titles: list[str]) -> list[str]:
    """Column titles of a split's numbers; the first one names the split."""
    return [f"{split} {title}" if place == 0 else title for place, title in enumerate(titles)]
