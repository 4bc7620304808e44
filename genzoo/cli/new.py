"""``genzoo new``: a plugin distribution that installs and passes its checks as it stands."""

from __future__ import annotations

from pathlib import Path

import click

from genzoo.cli import console
from genzoo.cli.listing import named_kind


@click.command("new")
@click.argument("kind")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), help="Where to make the folder; here by default."
)
@click.option(
    "--like",
    metavar="FORM",
    help="The form of a model: vae (the default), pixels (its latents are the images), or gan (a generator with a critic).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(kind: str, name: str, out: Path, like: str | None, as_json: bool) -> None:
    """Make a plugin distribution, genzoo-NAME, that passes its checks as it stands.

    KIND is model, loss, prior, scheduler, visualizer, likelihood, network, dataset or metric.

    It has a declaration, typed options, one module with a small working component, a test file that runs the contract, and
    a README with a place for the equation and the paper.
    """
    from genzoo.scaffold import make

    made = make(named_kind(kind, "new"), name, out, like)
    if as_json:
        console.print_json({"folder": made.folder, "files": made.files})
        return
    for file in made.files:
        console.say(str(made.folder / file))
    console.say()
    console.say("Install, check and use it:")
    for line in made.next_steps:
        console.say(f"    {line}")
