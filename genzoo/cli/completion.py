"""``genzoo completion``: what a shell needs so that Tab completes ``genzoo``, and the names that it offers."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Literal

import click

from genzoo.cli import COMMANDS, LazyGroup, console
from genzoo.cli.completing import script
from genzoo.compose.plan import DEFAULT_SCHEDULERS, DEFAULTS
from genzoo.declare import RESOURCE_KINDS
from genzoo.errors import GenzooError
from genzoo.host.installed import Installed
from genzoo.host.option_help import option_help
from genzoo.host.plugin_host import Host, host
from genzoo.types import Kind

SET_UP = {
    "bash": 'eval "$(genzoo completion bash)"',
    "zsh": 'eval "$(genzoo completion zsh)"',
    "fish": "genzoo completion fish | source",
}
"""What a person adds to the start-up file of a shell."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SET_UP)))
def command(shell: str) -> None:
    """Print what makes Tab complete genzoo in SHELL: commands, options, plugins, runs and zoo names.

    Add this line to ~/.bashrc: eval "$(genzoo completion bash)"; to ~/.zshrc: eval "$(genzoo completion zsh)"; to
    ~/.config/fish/config.fish: genzoo completion fish | source
    """
    console.show(script(shell).rstrip())


def gathered() -> dict[str, Any]:
    """Every name that Tab offers, but for the runs: commands with options, plugins with options, resources."""
    found = host()
    return {
        "commands": dict(_commands()),
        "groups": {name: entry.help for name, entry in COMMANDS.items()},
        "plugins": {
            str(kind): {item.name: _plugin(item) for item in found.components(kind)}
            for kind in Kind
            if found.components(kind)
        },
        "defaults": {**{str(kind): name for kind, name in DEFAULTS.items()}, "scheduler": DEFAULT_SCHEDULERS["beta"]},
        **{kind: _resources(found, kind) for kind in RESOURCE_KINDS},
    }


def _resources(found: Host, kind: str) -> list[str]:
    return [f"zoo:{item.name}" if kind == "run" else item.name for item in found.resources(kind)]


def _commands() -> Iterator[tuple[str, dict[str, Any]]]:
    context = click.Context(LazyGroup("genzoo"))
    for name, entry in COMMANDS.items():
        made = LazyGroup("genzoo").get_command(context, name)
        if isinstance(made, click.Group):
            for inner, part in made.commands.items():
                yield f"{name} {inner}", _entry(part, part.get_short_help_str())
        elif made is not None:
            yield name, _entry(made, entry.help)


def _entry(made: click.Command, said: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in made.params:
        if isinstance(item, click.Option):
            values = item.type.choices if isinstance(item.type, click.Choice) else _alternatives(item.metavar or "")
            entry = {"help": item.help or "", "flag": item.is_flag, "values": [str(value) for value in values]}
            options |= {flag: entry for flag in (*item.opts, *item.secondary_opts) if flag.startswith("--")}
    return {"help": said, "options": options}


def _alternatives(metavar: str) -> list[str]:
    """``adam|sgd`` as a list; nothing for a metavar that is no list of words, such as ``FILE|NAME``."""
    return metavar.split("|") if "|" in metavar and metavar == metavar.lower() else []


def _plugin(item: Installed) -> dict[str, Any]:
    options: dict[str, Any] = {}
    try:
        fields = item.options_class().model_fields if option_help(item) else {}
        for option in option_help(item) if fields else ():
            values = _literals(fields[option.name.replace("-", "_")].annotation)
            options[option.name] = {"help": option.description, "values": values}
    except GenzooError:
        options = {}  # A plugin that is broken still has a name.
    companions = {
        str(kind): companion if isinstance(companion, str) else companion[0]
        for kind, companion in item.component.companions.items()
        if companion
    }
    return {"help": item.component.summary, "options": options, "companions": companions}


def _literals(annotation: Any) -> list[str]:
    """The words that an option takes, if it takes words alone or words among others."""
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is Literal:
        return [str(value) for value in typing.get_args(annotation)]
    return [word for part in typing.get_args(annotation) for word in _literals(part) if part is not bool]
