"""``genzoo list``: what is installed, what is broken, and with ``--all`` what the catalogue knows besides."""

from __future__ import annotations

from typing import Any

import click

from genzoo.cli import console
from genzoo.errors import UsageError
from genzoo.host.installed import Installed, nearest
from genzoo.host.plugin_host import SERIOUS, Host, Problem, host
from genzoo.types import Kind

_PLURALS = {"losses": "loss"}


@click.command("list")
@click.argument("kind", required=False)
@click.option("--all", "everything", is_flag=True, help="Also what the catalogue knows and is not installed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(kind: str | None, everything: bool, as_json: bool) -> None:
    """List the plugins that are installed, of one KIND or all."""
    chosen = None if kind is None else named_kind(kind, "list")
    found = host()
    components = found.components(chosen)
    problems = [item for item in found.problems if item.kind in SERIOUS and _concerns(item, chosen)]
    absent = _absent(found, chosen) if everything else []
    if as_json:
        value: dict[str, Any] = {
            "components": [_component(item) for item in components],
            "problems": [vars(item) for item in problems],
        }
        if everything:
            value["not_installed"] = absent
        console.print_json(value)
        return
    columns = console.width()
    clashing = {key for item in problems if item.kind == "duplicate" for key in item.concerns}
    rows = [
        [
            str(item.kind),
            item.qualified if f"{item.kind}/{item.name}" in clashing else item.name,
            f"{item.distribution} {item.version}",
            item.component.summary,
        ]
        for item in components
    ]
    if rows:
        console.show(console.table(["kind", "name", "from", "summary"], rows, columns))
    else:
        console.say(found.why_none(chosen or "plugin"), err=True)
    if absent:
        console.show("\nNot installed:")
        rows = [[row["kind"], row["name"], row["distribution"], row["summary"]] for row in absent]
        console.show(console.table(["kind", "name", "from", "summary"], rows, columns))
        console.show(console.paragraph("`genzoo info KIND/NAME` says how to install one.", columns))
    if problems:
        console.show("\nOut of order (see `genzoo doctor`):")
        for item in problems:
            console.show(console.paragraph(f"{item.kind}: {item.distribution} {item.version}: {item.cause}.", columns))


def named_kind(kind: str, command: str) -> Kind:
    """A kind as typed to a command, in the singular or the plural.

    Raises:
        UsageError: If it is none of the nine.
    """
    word = _PLURALS.get(kind, kind if kind in set(Kind) else kind.removesuffix("s"))
    if word not in set(Kind):
        guess = nearest(kind, list(Kind)).strip()
        raise UsageError(f"{command}: KIND must be one of {', '.join(Kind)}, got {kind!r}.", guess)
    return Kind(word)


def _component(item: Installed) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.distribution,
        "version": item.version,
        "summary": item.component.summary,
        "paper": item.component.paper,
    }


def _concerns(problem: Problem, kind: Kind | None) -> bool:
    return kind is None or not problem.concerns or any(key.startswith(f"{kind}/") for key in problem.concerns)


def _absent(found: Host, kind: Kind | None) -> list[dict[str, str]]:
    from genzoo.host import origin
    from genzoo.host.catalogue import catalogue

    installed = {(item.kind, item.name) for item in found.components()}
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "distribution": entry.distribution,
            "install": origin.install(entry.source),
            "summary": entry.summary,
        }
        for entry in catalogue().plugin
        if (entry.kind, entry.name) not in installed and kind in {None, entry.kind}
    ]
