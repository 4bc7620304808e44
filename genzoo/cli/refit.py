"""``genzoo refit``: fit another prior to a finished run, as a new run."""

from __future__ import annotations

import sys
from typing import Any

import click

from genzoo.cli.flags import DottedCommand, Named, options_of, recipe_of
from genzoo.cli.run import finish, listener
from genzoo.declare import FIELD
from genzoo.errors import UsageError
from genzoo.recipe import TrainOptions, read_recipe
from genzoo.types import Kind

EPOCHS = 10
"""Epochs of the fit unless told otherwise."""


@click.command(
    "refit",
    cls=DottedCommand,
    epilog="Options of the prior: --prior.layers 8; of its field: --field.width 32; `genzoo info NAME` lists them.",
)
@click.argument("run")
@click.option("--prior", metavar="NAME", required=True, help="The prior to fit.")
@click.option("--field", metavar="NAME", help="Network of a prior that maps images to images.  [default the prior's]")
@click.option("--viz", "visualizers", multiple=True, metavar="[KEY=]NAME", help="A figure to draw; may be repeated.")
@click.option("--metric", "metrics", multiple=True, metavar="[KEY=]NAME", help="Numbers at the end; may be repeated.")
@options_of(TrainOptions, skip=("fit_prior",))
@click.option("--name", default="", metavar="TEXT", help="Appended to the run folder's name.")
@click.option("--out", metavar="FOLDER", help="Folder of runs.  [default runs, or $GENZOO_RUNS]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(
    context: click.Context,
    run: str,
    prior: str,
    field: str | None,
    visualizers: tuple[str, ...],
    metrics: tuple[str, ...],
    name: str,
    out: str | None,
    as_json: bool,
    **train: Any,
) -> None:
    """Fit another prior to the latents of RUN, as a new run; all but the prior stays as it is.

    It is `genzoo run --init RUN --freeze all-but-prior --fit-prior after` with the run's recipe and another prior.
    """
    from genzoo.compose.plan import plan
    from genzoo.host.plugin_host import host
    from genzoo.runs.find import find_run, runs_root
    from genzoo.runs.folder import check_name
    from genzoo.training.initial import ALL_BUT_PRIOR, init_from
    from genzoo.training.start import start

    check_name(name)
    root = runs_root(out)
    base = read_recipe(find_run(run, root).config_file)
    foreign = [path for path, _ in context.meta["genzoo.dotted"] if path[0] not in {"prior", "field", "viz", "metric"}]
    if foreign:
        raise UsageError(
            f"refit: --{'.'.join(foreign[0])} must be left out, since all but the prior stays as it is in {run}.",
            "Start a new run with `genzoo run --init` to change more.",
        )
    kept = {key: base.train[key] for key in ("seed", "limit", "device", "precision", "batch_size") if key in base.train}
    base = base.model_copy(
        update={
            "prior": None,
            "field": None,
            "schedulers": {},
            "visualizers": {},
            "metrics": {},
            "train": {**kept, "epochs": EPOCHS, "fit_prior": "after"},
            "init": init_from(run, [ALL_BUT_PRIOR], root),
        }
    )
    parts: dict[str, str] = {Kind.PRIOR: prior} | ({FIELD: field} if field else {})
    named = Named(None, parts, (), visualizers, metrics)
    recipe = recipe_of(base, named, context.meta["genzoo.dotted"], train, host())
    outcome = start(
        plan(recipe, host()), host(), out=root, name=name, listener=listener(), argv=["genzoo", *sys.argv[1:]]
    )
    finish(context, outcome, as_json)
