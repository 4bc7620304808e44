"""``genzoo recipe`` and ``genzoo reproduce``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genzoo.cli import console
from genzoo.cli.run import named_recipe
from genzoo.declare import RESOURCE_KINDS
from genzoo.errors import UsageError

if TYPE_CHECKING:
    from genzoo.studies.reproduce import Result


@click.group("recipe")
def recipe() -> None:
    """List, show and write recipes."""


@recipe.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """List the recipes, reproductions and trained runs (zoo:NAME) that installed plugins ship."""
    from genzoo.host.plugin_host import host

    rows = [
        [kind, f"zoo:{item.name}" if kind == "run" else item.name, item.distribution, item.resource.summary]
        for kind in RESOURCE_KINDS
        for item in host().resources(kind)
    ]
    if as_json:
        console.print_json([dict(zip(("kind", "name", "distribution", "summary"), row, strict=True)) for row in rows])
        return
    console.show(console.table(["kind", "name", "distribution", "summary"], rows, console.width()))


@recipe.command("show")
@click.argument("name", metavar="FILE|NAME")
def show(name: str) -> None:
    """Print a recipe."""
    console.show(named_recipe(name).to_toml().rstrip())


@recipe.command("init")
@click.argument("model")
@click.option("--out", default="recipe.toml", show_default=True, metavar="FILE", help="Where it is written.")
def init(model: str, out: str) -> None:
    """Write a recipe of MODEL with every option at its default, to change and run with --recipe."""
    from genzoo import storage
    from genzoo.compose.plan import plan
    from genzoo.host.plugin_host import host
    from genzoo.recipe import Part, Recipe

    target = Path(out)
    if target.exists():
        raise UsageError(f"recipe init: --out must not exist, got {out!r}, which does.", "Choose another.")
    resolved = plan(Recipe(model=Part(name=model)), host())
    storage.replace(target, resolved.recipe().to_toml().encode())
    console.say(f"{target}: change it, then `genzoo run --recipe {target}`.")


@click.command("reproduce")
@click.argument("name")
@click.option("--seeds", type=click.IntRange(1), metavar="N", help="Only the first N seeds of each experiment.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Train N epochs only; for a quick look.")
@click.option("--out", metavar="FOLDER", help="Folder of runs.  [default runs, or $GENZOO_RUNS]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def reproduce(
    context: click.Context, name: str, seeds: int | None, epochs: int | None, out: str | None, as_json: bool
) -> None:
    """Run what a published table needs and print expected beside measured; exit 1 if a row falls short.

    Finished runs are used again and interrupted ones resumed. `genzoo recipe list` names the reproductions. Three seeds or
    more are printed as mean and standard deviation, fewer as their values; ± is then the standard error over images, paired
    where two runs are compared. A bar that is met or missed by less than that reads "equal within the spread".
    """
    from genzoo.host.plugin_host import host
    from genzoo.runs.find import runs_root
    from genzoo.studies.reproduce import read_reproduction
    from genzoo.studies.reproduce import reproduce as go
    from genzoo.training.console import ConsoleListener

    table = read_reproduction(host().resource("reproduction", name).path)
    results = go(name, table, host(), out=runs_root(out), listener=ConsoleListener(), seeds=seeds, epochs=epochs)
    if as_json:
        console.print_json({"name": name, "rows": [result.record() for result in results]})
    else:
        console.show(console.paragraph(table.summary, console.width()))
        if table.protocol:
            console.show(console.paragraph(table.protocol, console.width()))
        rows = [
            [
                result.spec.name,
                "-" if result.spec.published is None else _number(result.spec.published),
                _measured(result),
                _bar(result.spec.at_most, result.spec.at_least),
                result.verdict + (f" ({result.spec.note})" if result.spec.note else ""),
            ]
            for result in results
        ]
        console.show(console.table(["", "published", "measured", "bar", "verdict"], rows, console.width()))
        if epochs is not None:
            console.say(f"Trained {epochs} epochs only: the verdicts say nothing of the published protocol.", err=True)
    context.exit(1 if any(result.verdict == "falls short" for result in results) else 0)


def _bar(at_most: float | None, at_least: float | None) -> str:
    parts = [f"≤ {at_most:g}"] if at_most is not None else []
    parts += [f"≥ {at_least:g}"] if at_least is not None else []
    return ", ".join(parts) or "-"


def _measured(result: Result) -> str:
    """Three seeds or more as mean and spread, fewer as their values, each with its standard error over images."""
    if result.spread is not None:
        spread = f" ± {_number(result.spread)}" if math.isfinite(result.spread) else ""
        return f"{_number(result.mean)}{spread} ({len(result.values)} seeds)"
    errors = [*result.errors, *[None] * (len(result.values) - len(result.errors))]
    shown = [
        _number(value) + ("" if error is None else f" ± {_number(error)}")
        for value, error in zip(result.values, errors, strict=True)
    ]
    return ", ".join(shown) + (f" (paired, {result.images} images)" if result.images else "")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
