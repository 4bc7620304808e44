"""``genzoo search``: the catalogue and what is installed, searched for words."""

from __future__ import annotations

from typing import Any

import click

from genzoo.cli import console
from genzoo.host.plugin_host import host


@click.command("search")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def search(words: tuple[str, ...], as_json: bool) -> None:
    """Find plugins, recipes and runs, installed or not: name, kind, summary, paper or distribution hold every WORD."""
    from genzoo.host import origin
    from genzoo.host.catalogue import catalogue

    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    sources: dict[tuple[str, str, str], str] = {}
    for entry in (*catalogue().plugin, *catalogue().resource):
        key = (str(entry.kind), entry.name, entry.distribution)
        sources[key] = entry.source
        rows[key] = {
            "kind": entry.kind,
            "name": entry.name,
            "distribution": entry.distribution,
            "summary": entry.summary,
            "paper": getattr(entry, "paper", ""),
            "installed": False,
        }
    for item in (*host().components(), *host().resources()):
        rows[str(item.kind), item.name, item.distribution] = {
            "kind": item.kind,
            "name": item.name,
            "distribution": item.distribution,
            "summary": item.declaration.summary,
            "paper": getattr(item.declaration, "paper", ""),
            "installed": True,
        }
    found = [
        {**row, "install": origin.install(sources[key]) if key in sources else ""}
        for key, row in sorted(rows.items())
        if _matches(row, words)
    ]
    if as_json:
        console.print_json(found)
    elif found:
        table = [
            [row["kind"], row["name"], row["distribution"], "yes" if row["installed"] else "no", row["summary"]]
            for row in found
        ]
        console.show(console.table(["kind", "name", "from", "installed", "summary"], table, console.width()))
        absent = [row for row in found if not row["installed"]]
        if absent:
            line = "`genzoo search WORD --json` has the line that installs each."
            line = f"Install it: {absent[0]['install']}" if len(absent) == 1 else line
            console.show(console.paragraph(line, console.width()))
    else:
        said = " and ".join(map(repr, words))
        console.say(f"No plugin, installed or in the catalogue, mentions {said}. See `genzoo list --all`.", err=True)


def _matches(row: dict[str, Any], words: tuple[str, ...]) -> bool:
    text = " ".join(str(row[key]) for key in ("kind", "name", "distribution", "summary", "paper")).lower()
    return all(word.lower() in text for word in words)
