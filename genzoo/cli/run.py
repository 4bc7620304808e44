"""``genzoo run``: train a model composed from plugins, and draw its figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.cli import console
from genzoo.cli.flags import DottedCommand, Named, data_options, options_of, recipe_of
from genzoo.compose.plan import SLOTS, bare_name
from genzoo.declare import FIELD
from genzoo.errors import GenzooError, UsageError
from genzoo.recipe import Part, Recipe, TrainOptions, line_of, read_recipe
from genzoo.text import one_line
from genzoo.toml import read_text
from genzoo.types import Kind

if TYPE_CHECKING:
    from genzoo.compose.plan import Plan
    from genzoo.engine.listener import Listener
    from genzoo.training.outcome import Outcome


@click.command(
    "run",
    cls=DottedCommand,
    epilog="Options of a part: --model.latent-dim 2, --scheduler.beta.epochs 10, --viz.traversal.span 3; "
    "`genzoo info NAME` lists them.",
)
@click.argument("model", required=False)
@click.option("--data", metavar="NAME", help="Dataset.  [default mnist]")
@click.option("--network", metavar="NAME", help="Encoder and decoder bodies.  [default conv]")
@click.option("--likelihood", metavar="NAME", help="p(x|z).  [default bernoulli]")
@click.option("--prior", metavar="NAME", help="p(z).  [default standard-normal]")
@click.option("--loss", metavar="NAME", help="Objective.  [default elbo]")
@click.option("--field", metavar="NAME", help="Network of a prior that maps images to images.  [default the prior's]")
@click.option(
    "--scheduler",
    "schedulers",
    multiple=True,
    metavar="[SLOT=]NAME",
    help="What drives beta, lr or another quantity.  [default beta=linear-warmup]",
)
@click.option("--viz", "visualizers", multiple=True, metavar="[KEY=]NAME", help="A figure to draw; may be repeated.")
@click.option("--metric", "metrics", multiple=True, metavar="[KEY=]NAME", help="Numbers at the end; may be repeated.")
@options_of(TrainOptions)
@click.option("--recipe", metavar="FILE|NAME", help="Start from a recipe; other options change it.")
@click.option("--init", metavar="RUN", help="Start from the weights of another run, where names and shapes agree.")
@click.option("--freeze", multiple=True, metavar="PART", help="With --init: a part of the model that is not trained.")
@click.option("--resume", metavar="RUN", help="Go on with a run where it stopped; no MODEL needed.")
@click.option("--name", default="", metavar="TEXT", help="Appended to the run folder's name.")
@click.option("--out", metavar="FOLDER", help="Folder of runs.  [default runs, or $GENZOO_RUNS]")
@click.option("--format", "formats", metavar="png|svg|png,svg", help="Of the figures.  [default png]")
@click.option("--dry-run", is_flag=True, help="Print the resolved experiment with its parameter counts; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(
    context: click.Context,
    model: str | None,
    data: str | None,
    network: str | None,
    likelihood: str | None,
    prior: str | None,
    loss: str | None,
    field: str | None,
    schedulers: tuple[str, ...],
    visualizers: tuple[str, ...],
    metrics: tuple[str, ...],
    recipe: str | None,
    init: str | None,
    freeze: tuple[str, ...],
    resume: str | None,
    name: str,
    out: str | None,
    formats: str | None,
    dry_run: bool,
    as_json: bool,
    **train: Any,
) -> None:
    """Train MODEL and draw its figures, in a new folder below runs/.

    With no options this is the report's configuration: MNIST, a 2-D latent, 30 epochs with a linear warm-up of beta.
    """
    console.passing(f"Loading PyTorch and {model or 'the parts of the run'} …")
    from genzoo.host.plugin_host import host
    from genzoo.runs.find import runs_root
    from genzoo.runs.folder import check_name
    from genzoo.training.start import start

    check_name(name)
    kinds = {
        Kind.DATASET: data,
        Kind.NETWORK: network,
        Kind.LIKELIHOOD: likelihood,
        Kind.PRIOR: prior,
        Kind.LOSS: loss,
        FIELD: field,
    }
    parts = {kind: value for kind, value in kinds.items() if value}
    named = Named(model, parts, schedulers, visualizers, metrics)
    dotted = context.meta["genzoo.dotted"]
    chosen = None if formats is None else figure_formats(formats)
    if resume is not None:
        unfit = [flag for flag, given in (("--dry-run", dry_run), ("--name", name), ("--init", init)) if given]
        if unfit:
            raise UsageError(
                f"run: {unfit[0]} must be left out with --resume, which continues a run as it is.",
                "See `genzoo runs show RUN`." if dry_run else "",
            )
        outcome = _resume(resume, named, dotted, train, recipe, chosen, out)
    else:
        base = named_recipe(recipe) if recipe else None
        wanted = recipe_of(base, named, dotted, train, host())
        if freeze and not init:
            raise UsageError(
                "run: --freeze must be given with --init, since weights that are not trained need a start."
            )
        if init:
            from genzoo.training.initial import init_from

            wanted = wanted.model_copy(update={"init": init_from(init, freeze, runs_root(out))})
        resolved = planned(wanted, recipe)
        if dry_run:
            _print_plan(resolved, as_json)
            return
        console.passing(f"Reading {resolved[Kind.DATASET].name} and making {resolved.title} …")
        outcome = start(
            resolved,
            host(),
            out=runs_root(out),
            name=name,
            listener=listener(),
            argv=["genzoo", *sys.argv[1:]],
            formats=chosen or ("png",),
        )
    finish(context, outcome, as_json)


def finish(context: click.Context, outcome: Outcome, as_json: bool) -> None:
    """Print what a run came to, and exit with its code."""
    if console.speaks():
        _print_outcome(outcome, as_json)
    context.exit(outcome.exit_code)


def named_recipe(name: str) -> Recipe:
    """A recipe from a file, or by the name under which a plugin ships it.

    Raises:
        UsageError: If the file is no recipe.
        PluginError: If no plugin ships a recipe of that name.
    """
    from genzoo.host.plugin_host import host

    path = Path(name)
    with suppress(OSError):  # A name that is too long for a file.
        if path.suffix == ".toml" or "/" in name or path.is_file():
            return read_recipe(path)
    return read_recipe(host().resource("recipe", name).path)


def planned(wanted: Recipe, recipe: str | None) -> Plan:
    """The plan of what is asked for. A fault of the recipe that it builds on names the recipe's file and line.

    Args:
        wanted: What is asked for, the options of the command line included.
        recipe: The file or name that ``--recipe`` gave.

    Raises:
        GenzooError: If a part or an option is refused.
    """
    from genzoo.compose.plan import plan
    from genzoo.host.plugin_host import host

    try:
        return plan(wanted, host())
    except GenzooError as error:
        if recipe and (where := _fault_of_recipe(recipe, error)):
            error.message = f"recipe: {where}: {error.message}"
        raise


def _fault_of_recipe(name: str, error: GenzooError) -> str:
    """The place in a recipe that an error is about; empty where the recipe by itself is sound."""
    from genzoo.compose.plan import plan
    from genzoo.host.plugin_host import host

    recipe = named_recipe(name)
    try:
        plan(recipe, host())
    except GenzooError as alone:
        return _where(recipe, name, error) if alone.message == error.message else ""
    return ""


def _where(recipe: Recipe, name: str, error: GenzooError) -> str:
    """The file and line of the part, and of the option, that an error is about; empty where it cannot be told."""
    from genzoo.host.plugin_host import host

    path = Path(name)
    if not path.is_file():
        return ""
    text = read_text(path)
    for kind, place, part in _parts_of(recipe):
        try:
            installed = host().get(kind, part.name)
        except GenzooError as refused:
            if refused.message == error.message:
                return _at(path, text, [*place, "name"])
            continue
        for key, value in part.options.items():
            try:
                installed.make_options({key: value})
            except GenzooError as refused:
                if isinstance(refused, type(error)):
                    return _at(path, text, [*place, "options", key])
    return str(path)


def _at(path: Path, text: str, place: list[str]) -> str:
    line = line_of(text, place)
    return str(path) if line is None else f"{path}, line {line}"


def _parts_of(recipe: Recipe) -> Iterator[tuple[Kind, list[str], Part]]:
    """Every part of a recipe, with its kind and its place in the file."""
    yield Kind.MODEL, ["model"], recipe.model
    for slot, kind in SLOTS.items():
        part: Part | None = getattr(recipe, slot)
        if part is not None:
            yield kind, [str(slot)], part
    for slot, parts in (recipe.schedulers or {}).items():
        for number, part in enumerate(parts):
            yield Kind.SCHEDULER, ["schedulers", slot, str(number)], part
    for key, part in recipe.visualizers.items():
        yield Kind.VISUALIZER, ["visualizers", key], part
    for key, part in recipe.metrics.items():
        yield Kind.METRIC, ["metrics", key], part


def figure_formats(text: str) -> tuple[str, ...]:
    """The formats of ``png``, ``svg`` or ``png,svg``.

    Raises:
        UsageError: If there is another.
    """
    formats = tuple(part.strip() for part in text.split(",") if part.strip())
    if not formats or set(formats) - {"png", "svg"}:
        raise UsageError(f"run: --format must be png, svg or png,svg, got {text!r}.")
    return formats


def _resume(
    name: str,
    named: Named,
    dotted: Any,
    train: dict[str, Any],
    recipe: str | None,
    formats: tuple[str, ...] | None,
    out: str | None,
) -> Outcome:
    from genzoo.host.plugin_host import host
    from genzoo.runs.find import elsewhere, find_run, runs_root
    from genzoo.training.start import resume

    if elsewhere(name):
        raise UsageError("run: --resume must name a run of yours, got one that a plugin or a hub ships.")
    folder = find_run(name, runs_root(out), changes=True)
    data, dotted = data_options(dotted, "run")
    before = read_recipe(folder.config_file)
    refused = [path for path, _ in dotted if path[0] not in {"viz", "metric"}]
    if named.model not in (None, before.model.name) or named.parts or named.schedulers or recipe or refused:
        raise UsageError(
            "run: --resume goes on with what the run was started with; a model, part, scheduler or recipe cannot be named.",
            "Only --epochs, --viz-every, --viz and --metric may change, and --data.OPTION for data that were moved; start a "
            "new run for the rest.",
        )
    again = recipe_of(before, Named(None, {}, (), named.visualizers, named.metrics), dotted, {}, host())
    given = {key: value for key, value in train.items() if value is not None}
    changes = before.model_copy(update={"train": {**before.train, **given}}).train_options()
    asked = {key: getattr(changes, key) for key in given}
    return resume(
        folder,
        host(),
        changes=asked,
        visualizers=_asked(again.visualizers, before.visualizers, named.visualizers),
        metrics=_asked(again.metrics, before.metrics, named.metrics),
        listener=listener(),
        argv=["genzoo", *sys.argv[1:]],
        formats=formats,
        data=data,
    )


def _asked(parts: Mapping[str, Part], before: Mapping[str, Part], words: Sequence[str]) -> dict[str, Part]:
    """Those parts that a command line names as ``[KEY=]NAME`` or changes an option of."""
    keys = {bare_name(word.partition("=")[0]) for word in words}
    return {key: part for key, part in parts.items() if key in keys or part != before.get(key)}


def listener() -> Listener:
    """Who shows progress."""
    from genzoo.engine.listener import Listener
    from genzoo.training.console import ConsoleListener

    return ConsoleListener() if console.speaks() else Listener()


def _print_plan(resolved: Plan, as_json: bool) -> None:
    from genzoo.compose.build import build
    from genzoo.engine.settings import choose

    experiment = build(resolved)
    counts = experiment.parameters()
    settings = choose(resolved.train, experiment.model).record()
    if as_json:
        console.print_json(
            {
                "recipe": resolved.recipe().model_dump(mode="json", by_alias=True),
                "parameters": counts,
                "settings": settings,
                "data": {"lines": [*experiment.dataset.describe()], "warnings": [*experiment.dataset.warnings()]},
            }
        )
        return
    console.show(resolved.recipe().to_toml().rstrip())
    console.say()
    console.say(f"# {resolved.title}")
    for part, count in counts.items():
        console.say(f"#   {part}: {count:,} parameters")
    console.say("#   " + ", ".join(f"{key} {value}" for key, value in settings.items()))
    for line in (*experiment.dataset.describe(), *experiment.dataset.warnings()):
        console.say(f"#   {line}")


def _print_outcome(outcome: Outcome, as_json: bool) -> None:
    row = outcome.row or {}
    if as_json:
        console.print_json(
            {
                "run": str(outcome.folder.path),
                "row": row,
                "verdict": outcome.verdict,
                "figures": outcome.figures,
                "metrics": outcome.metrics,
                "exit_code": outcome.exit_code,
            }
        )
        return
    columns = console.width()
    if row:
        from genzoo.runs.reports import cells, names_shown, reports_of

        names = names_shown(reports_of(outcome.folder.record()))
        rows = [[split, *cells(row[split], names)] for split in ("train", "holdout", "test") if split in row]
        console.show(console.table(["", *names], rows, columns))
    for key, result in outcome.metrics.items():
        if "values" in result:
            console.show(console.paragraph(f"{key}: {console.numbers(result)}", columns))
    if outcome.verdict:
        severities = {finding["severity"] for finding in outcome.folder.record().get("findings", [])}
        style = "yellow" if "fault" in severities else "green" if severities == {"good"} else "cyan"
        console.show(console.paragraph(outcome.verdict, columns), style=style)
    for result in outcome.figures.values():
        for file in result.get("files", []):
            console.show(one_line(str(outcome.folder.figures / file)), style="bold")
    console.say(f"Run folder: {outcome.folder.path}")
