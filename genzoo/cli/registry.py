"""``genzoo registry``: hold the catalogue against the installed entry points, and verify what it lists."""

from __future__ import annotations

from pathlib import Path

import click

from genzoo import catalogue
from genzoo.cli import console
from genzoo.host import SERIOUS, host


@click.group("registry")
def registry() -> None:
    """Check the catalogue, and verify what it lists."""


@registry.command("check")
@click.option("--file", type=click.Path(path_type=Path), help="The catalogue; the one of this genzoo by default.")
@click.option("--strict", is_flag=True, help="Fail also on entries whose distribution is not installed.")
@click.option("--write", is_flag=True, help="Mend it: add, correct and remove entries after the declarations.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(context: click.Context, file: Path | None, strict: bool, write: bool, as_json: bool) -> None:
    """Compare the catalogue with the installed plugins, both ways; exit 1 when they differ."""
    from genzoo.registry import compare, mend, write_catalogue

    file = file or catalogue.path()
    listed = catalogue.read(file)
    components = host().components()
    if write:
        troubled = {item.distribution for item in host().problems if item.kind in SERIOUS - {"duplicate"}}
        mended = mend(listed, components, file, troubled)
        if mended != listed:
            write_catalogue(file, mended)
        listed = mended
    comparison = compare(listed, components)
    failed = bool(comparison.drift) or (strict and bool(comparison.unchecked))
    if as_json:
        console.print_json({"file": file, "passed": not failed, **vars(comparison)})
    else:
        for line in comparison.drift:
            click.echo(line)
        if comparison.unchecked:
            click.echo(f"Not installed, so not compared: {', '.join(comparison.unchecked)}.")
        click.echo(f"{comparison.agreeing} of {len(listed.plugin)} entries of {file} agree with what is installed.")
    if failed:
        if not as_json:
            click.echo("Mend it with `genzoo registry check --write`.", err=True)
        context.exit(1)
