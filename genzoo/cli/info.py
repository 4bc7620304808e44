"""``genzoo info``: one plugin's options as they are typed, where it comes from, and what it builds on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from genzoo.cli import console
from genzoo.declare import FIELD, NOT_TAKEN, Companion
from genzoo.host.installed import Installed
from genzoo.host.option_help import FLAGS, OptionHelp, option_help, value_in_words
from genzoo.host.plugin_host import host
from genzoo.types import Kind

_USAGE: dict[Kind, str] = {
    Kind.MODEL: "genzoo run {0}",
    Kind.SCHEDULER: "genzoo run vae --scheduler {0}",
    Kind.VISUALIZER: "genzoo viz last {0}",
    Kind.METRIC: "genzoo eval last {0}",
}


@click.command("info")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, as_json: bool) -> None:
    """Show the options, origin and paper of the plugin NAME, KIND/NAME or DIST:NAME."""
    item = host().one(name)
    options = option_help(item)
    about = _about(item)
    if as_json:
        console.print_json({**about, "options": [vars(option) for option in options]})
        return
    columns = console.width()
    console.say(f"{item.kind} {item.name}: {item.component.summary}".rstrip(": "))
    console.say()
    for key in ("from", "paper", "base", "companions", "needs", "licence", "verified"):
        if about[key]:
            text = _companions(about[key]) if key == "companions" else str(about[key])
            console.show(console.paragraph(f"{key + ':':<12}{text}", columns))
    console.show(console.paragraph(f"{'usage:':<12}{about['usage']}", columns))
    console.say()
    if not options:
        console.say("It has no options.")
        return
    rows = [[option.flag, _type(option), value_in_words(option.default), option.description] for option in options]
    console.show(console.table(["option", "type", "default", "description"], rows, columns))


def _about(item: Installed) -> dict[str, Any]:
    from genzoo.host import catalogue

    component = item.component
    entry = catalogue.lookup(item.kind, item.qualified)
    verified = entry.verified if entry else None
    flag = FLAGS.get(item.kind, str(item.kind))
    return {
        "kind": item.kind,
        "name": item.name,
        "summary": component.summary,
        "distribution": item.distribution,
        "version": item.version,
        "from": f"{item.distribution} {item.version}, plugin API {component.api}",
        "paper": component.paper,
        "base": component.base,
        "companions": {str(kind): companion for kind, companion in component.companions.items()},
        "needs": ", ".join(component.requires_extra),
        "licence": entry.licence if entry else "",
        "verified": f"{verified.result}, contract kit {verified.kit}, {verified.date}" if verified else "",
        "usage": _usage(item, flag),
    }


def _usage(item: Installed, flag: str) -> str:
    """A command that uses the plugin, with what it needs beside it."""
    if item.kind in _USAGE:
        return _USAGE[item.kind].format(item.name)
    model, before, after = "vae", "", ""
    if item.kind is Kind.NETWORK and (prior := _wanting(Kind.PRIOR, FIELD, item.name)):
        model, before, flag = "pixels", f" --prior {prior}", FIELD
    elif item.kind is Kind.PRIOR and FIELD in item.component.companions:
        model = "pixels"
    elif item.kind in {Kind.PRIOR, Kind.LOSS}:
        names = [item.name]
        if item.kind is Kind.PRIOR:  # Priors that come together are of the same latents.
            names += [other.name for other in host().components(Kind.PRIOR) if other.distribution == item.distribution]
        wanting = [_wanting(Kind.MODEL, item.kind, name) for name in names]
        model = next(filter(None, wanting), model)
    for option in item.options_class().model_fields.items() if item.component.options else ():
        if option[1].examples:
            after += f" --{flag}.{option[0].replace('_', '-')} {option[1].examples[0]}"
    return f"genzoo run {model}{before} --{flag} {item.name}{after}"


def _wanting(kind: Kind, slot: str, name: str) -> str:
    """The first component of a kind that wants the one named in a slot as it is; empty where none does."""
    return next((item.name for item in host().components(kind) if item.component.companions.get(slot) == name), "")


def _companions(companions: Mapping[str, Companion]) -> str:
    parts: list[str] = []
    for kind, companion in companions.items():
        if companion == NOT_TAKEN:
            parts.append(f"no {kind}")
            continue
        name, options = (companion, {}) if isinstance(companion, str) else companion
        settings = ", ".join(f"{key.replace('_', '-')}={value_in_words(value)}" for key, value in options.items())
        parts.append(f"{kind} {name}" + (f" ({settings})" if settings else ""))
    return "; ".join(parts)


def _type(option: OptionHelp) -> str:
    return f"{option.type} {option.bounds}".strip()
