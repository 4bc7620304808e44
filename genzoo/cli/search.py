"""``genzoo search``: the catalogue and what is installed, searched for words."""

from __future__ import annotations

from typing import Any

import click

from genzoo.cli import console
from genzoo.host.host import host


@click.command("search")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(words: tuple[str, ...], as_json: bool) -> None:
    """Find plugins, installed or not, whose name, kind, summary, paper or distribution holds every WORD."""
    from genzoo.host.catalogue import catalogue

    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in catalogue().plugin:
        rows[entry.kind, entry.name, entry.distribution] = {
            "kind": entry.kind,
            "name": entry.name,
            "distribution": entry.distribution,
            "summary": entry.summary,
            "paper": entry.paper,
            "installed": False,
            "install": entry.install,
        }
    for item in host().components():
        known = rows.get((item.kind, item.name, item.distribution), {})
        rows[item.kind, item.name, item.distribution] = {
            "kind": item.kind,
            "name": item.name,
            "distribution": item.distribution,
            "summary": item.component.summary,
            "paper": item.component.paper,
            "installed": True,
            "install": known.get("install", ""),
        }
    found = [row for _, row in sorted(rows.items()) if _matches(row, words)]
    if as_json:
        console.print_json(found)
    elif found:
        table = [
            [row["kind"], row["name"], "installed" if row["installed"] else row["install"], row["summary"]]
            for row in found
        ]
        console.show(console.table(["KIND", "NAME", "INSTALL", "SUMMARY"], table, console.width()))
    else:
        said = " and ".join(map(repr, words))
        console.say(f"No plugin, installed or in the catalogue, mentions {said}. See `genzoo list --all`.", err=True)


def _matches(row: dict[str, Any], words: tuple[str, ...]) -> bool:
    text = " ".join(str(row[key]) for key in ("kind", "name", "distribution", "summary", "paper")).lower()
    return all(word.lower() in text for word in words)
