"""``genzoo report``: one page about runs."""

from __future__ import annotations

from pathlib import Path

import click

from genzoo.cli import console
from genzoo.cli.flags import DottedCommand, data_options
from genzoo.cli.use import BEST, MOVED_HELP, RUN_HELP, interruptible, target_file, with_options


@click.command("report", cls=DottedCommand, epilog=RUN_HELP + " Options: --explorer.codes 100." + MOVED_HELP)
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN...]")
@click.option("--out", metavar="FILE.html", help="Where the page goes.  [default NAME-report.html in this folder]")
@click.option(
    "--page",
    "pages",
    multiple=True,
    metavar="NAME",
    help="A visualizer whose page stands in the report; may be given several times.  [default explorer]",
)
@click.option("--no-pages", is_flag=True, help="Leave such pages out; the report is then small.")
@click.option("--title", default="", help="Of the page.")
@BEST
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.pass_context
def report(
    context: click.Context,
    runs: tuple[str, ...],
    out: str | None,
    pages: tuple[str, ...],
    no_pages: bool,
    title: str,
    best: bool,
    force: bool,
) -> None:
    """Write one page about RUN, or several side by side: results, curves, figures, and the model itself to try.

    The page is one file that needs no network. Everything in it, paths in the recipe among it, can be read by whoever gets
    it.
    """
    from genzoo import storage
    from genzoo.host.plugin_host import host
    from genzoo.report.assemble import PAGES
    from genzoo.report.assemble import report as assemble
    from genzoo.runs.find import elsewhere, find_run

    folders = [find_run(name) for name in runs]
    name = elsewhere(runs[0]) or runs[0] if len(runs) == 1 else f"{len(runs)}-runs"
    name = folders[0].path.name if name == "last" or "/" in name or "\\" in name else name
    target = target_file(out or f"{name}-report.html", (".html",), force)
    data, dotted = data_options(context.meta["genzoo.dotted"], "report")
    parts = with_options(pages or PAGES, dotted, "report") if pages or dotted else None
    with interruptible("report"):
        made = assemble(folders, host(), pages={} if no_pages else parts, best=best, data=data, title=title)
    content = made.html.encode()
    storage.replace(Path(target), content)
    console.say(f"{target} ({len(content) / 1e6:.2f} MB)")
