"""``genzoo registry``: hold the catalogue against the installed entry points, and verify what it lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from genzoo.cli import console
from genzoo.errors import UsageError
from genzoo.host import catalogue
from genzoo.host.plugin_host import SERIOUS, host


@click.group("registry")
def registry() -> None:
    """Check the catalogue, and verify what it lists."""


def _writable(file: Path, command: str) -> None:
    """Refuses a catalogue that is part of an installation.

    Raises:
        UsageError: If it is.
    """
    if catalogue.is_shipped(file):
        raise UsageError(
            f"{command}: the catalogue must be that of a checkout, got {file}, which is part of an installation.",
            "Name a checkout's registry.toml with --file.",
        )


@registry.command("check")
@click.option("--file", type=click.Path(path_type=Path), help="The catalogue; the one of this genzoo by default.")
@click.option("--strict", is_flag=True, help="Fail also on entries whose distribution is not installed.")
@click.option(
    "--write", is_flag=True, help="Mend a checkout's: add, correct and remove entries after the declarations."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(context: click.Context, file: Path | None, strict: bool, write: bool, as_json: bool) -> None:
    """Compare the catalogue with the installed plugins, both ways; exit 1 when they differ."""
    from genzoo.host.upkeep import compare, mend, write_catalogue

    file = file or catalogue.path()
    listed = catalogue.read(file)
    declared = [*host().components(), *host().resources()]
    if write:
        _writable(file, "registry check --write")
        troubled = {item.distribution for item in host().problems if item.kind in SERIOUS - {"duplicate", "intrusive"}}
        mended = mend(listed, declared, file, troubled)
        if mended != listed:
            write_catalogue(file, mended)
        listed = mended
    comparison = compare(listed, declared)
    failed = bool(comparison.drift) or (strict and bool(comparison.unchecked))
    if as_json:
        console.print_json({"file": file, "passed": not failed, **vars(comparison)})
    else:
        entries = len(listed.plugin) + len(listed.resource)
        for line in comparison.drift:
            console.say(line)
        if comparison.unchecked:
            console.say(f"Not installed, so not compared: {', '.join(comparison.unchecked)}.")
        console.say(f"{comparison.agreeing} of {entries} entries of {file} agree with what is installed.")
    if failed:
        if not as_json:
            console.say("Mend it with `genzoo registry check --write`.", err=True)
        context.exit(1)


@registry.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--file", type=click.Path(path_type=Path), help="The catalogue; the one of this genzoo by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Run the contract checks on NAMEs, or on all that is listed and installed, and write what they said.

    Exit 1 when a plugin fails; its result is written too.
    """
    file = file or catalogue.path()
    _writable(file, "registry verify")
    from genzoo.host.upkeep import record
    from genzoo.testing import KIT_VERSION, check_component

    listed = catalogue.read(file)
    keys = {(entry.kind, entry.name, entry.distribution) for entry in listed.plugin}
    chosen = [host().one(name) for name in names] if names else host().components()
    failed = False
    results: list[dict[str, object]] = []
    for item in chosen:
        key = (item.kind, item.name, item.distribution)
        if key not in keys:
            if names:
                raise UsageError(
                    f"verify: {item.kind} {item.name} of {item.distribution} must be listed in {file}.",
                    "Add it with `genzoo registry check --write`.",
                )
            continue
        report = check_component(item)
        failed = failed or not report.ok
        result = report.summary if report.ok else f"failed: {report.summary}"
        today = datetime.now(UTC).date().isoformat()
        verified = catalogue.Verified(kit=KIT_VERSION, result=result, version=item.version, date=today)
        # Written after each, since all of them take minutes, and read anew so that two commands lose nothing.
        record(file, {key: verified})
        results.append({"kind": item.kind, "name": item.name, "ok": report.ok, **verified.model_dump()})
        if not as_json:
            console.say(f"{item.kind}/{item.name}: {result}")
    if as_json:
        console.print_json(results)
    if failed:
        context.exit(1)
