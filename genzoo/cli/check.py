"""``genzoo check``: the contract checks on installed plugins, without pytest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from genzoo.cli import console
from genzoo.errors import PluginError, UsageError
from genzoo.host.installed import nearest
from genzoo.host.plugin_host import Installed, host
from genzoo.types import Kind

if TYPE_CHECKING:
    from genzoo.testing import Report


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--dist", "distributions", multiple=True, metavar="D", help="Every component of a distribution.")
@click.option("--all", "everything", is_flag=True, help="Every installed component.")
@click.option("--only", multiple=True, metavar="CHECK", help="Run this check alone; may be repeated.")
@click.option(
    "--list", "listing", is_flag=True, help="List the checks, of the kinds of the components named or of all."
)
@click.option("--verbose", is_flag=True, help="A line for every check, with why it was skipped.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: a line a component as it is done, and one for all of them."
)
@click.pass_context
def check(
    context: click.Context,
    names: tuple[str, ...],
    distributions: tuple[str, ...],
    everything: bool,
    only: tuple[str, ...],
    listing: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the contract checks on a plugin; exit 1 when one fails.

    A line a component: how many checks passed of those that apply. For a failure: what was expected, what was seen, why
    it matters and how to mend it.
    """
    chosen = _chosen(names, distributions, everything, listing)
    if listing:
        _list({item.kind for item in chosen}, as_json)
        return
    from genzoo.testing import check_component
    from genzoo.testing.checking import refuse_unknown
    from genzoo.testing.prober import start

    refuse_unknown(only)
    start()
    reports: list[Report] = []
    for number, item in enumerate(chosen, 1):
        console.passing(f"checking {item.kind}/{item.name} ({number} of {len(chosen)}) …")
        asked = _of_kind(only, item.kind)
        if only and not asked:
            continue
        reports.append(check_component(item, only=asked or None))
        console.passing("")
        if as_json:
            console.print_json_line(reports[-1].to_json())
        else:
            _show(reports[-1], verbose)
    failed = [report for report in reports if not report.ok]
    if as_json:
        seconds = sum(result.seconds for report in reports for result in report.results)
        wrong = [f"{report.kind}/{report.name}" for report in failed]
        console.print_json_line(
            {"ok": not failed, "components": len(reports), "failed": wrong, "seconds": round(seconds, 3)}
        )
    elif len(reports) > 1:
        console.say(f"{len(reports) - len(failed)} of {len(reports)} components hold their contract.")
    if failed:
        context.exit(1)


def _of_kind(only: Sequence[str], kind: Kind) -> list[str]:
    from genzoo.testing import all_checks

    known = {item.id for item in all_checks(kind)}
    return [id for id in only if id in known]


def _chosen(
    names: Sequence[str], distributions: Sequence[str], everything: bool, listing: bool = False
) -> list[Installed]:
    """The components that were asked for, each once, in that order."""
    from genzoo.host.discovery import normal

    if everything and (names or distributions):
        raise UsageError("check: NAME and --dist must be absent beside --all.", "Choose one.")
    if not (names or distributions or everything or listing):
        raise UsageError("check: a NAME, --dist or --all must be given, got none.", "See `genzoo list`.")
    components = host().components()
    found = list(components) if everything else [host().one(name) for name in names]
    for distribution in distributions:
        of = [item for item in components if normal(item.distribution) == normal(distribution)]
        if not of:
            known = sorted({item.distribution for item in components})
            raise PluginError(
                f"check: {distribution!r} must be an installed distribution with plugins.{nearest(distribution, known)}",
                f"The installed ones are {', '.join(known)}." if known else "None is installed.",
            )
        found += of
    unique = {(item.kind, item.qualified): item for item in found}
    return list(unique.values())


def _show(report: Report, verbose: bool) -> None:
    mark = "ok  " if report.ok else "FAIL"
    console.say(f"{mark} {report.kind}/{report.name} ({report.distribution} {report.version}): {report.summary}")
    for result in report.results:
        if result.status == "failed":
            console.show("\n".join(f"     {line}" for line in result.message.splitlines()))
        elif verbose:
            note = f": {result.message}" if result.message else ""
            console.say(f"     {result.check} {result.status}{note} ({result.seconds:.2f} s)")


def _list(kinds: set[Kind], as_json: bool) -> None:
    from genzoo.testing import all_checks

    listed = [item for item in all_checks() if not kinds or item.kinds & kinds]
    if as_json:
        rows = [
            {"check": item.id, "kinds": sorted(item.kinds), "title": item.title, "why": item.why, "mend": item.mend}
            for item in listed
        ]
        console.print_json(rows)
        return
    table = [
        [item.id, "every kind" if len(item.kinds) == len(Kind) else ", ".join(sorted(item.kinds)), item.title]
        for item in listed
    ]
    console.show(console.table(["check", "kinds", "what is true of a correct plugin"], table, console.width()))
