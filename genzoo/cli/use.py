"""Commands on a trained run: ``viz``, ``eval``, ``sample``, ``encode``."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.cli import console
from genzoo.cli.flags import Dotted, DottedCommand, data_options
from genzoo.cli.run import figure_formats
from genzoo.compose.plan import bare_name
from genzoo.errors import GenzooError, UsageError
from genzoo.recipe import Part
from genzoo.runs.find import elsewhere
from genzoo.types import Kind

if TYPE_CHECKING:
    from genzoo.api import Run

BEST = click.option(
    "--best", is_flag=True, help="Take the checkpoint with the best held-out elbo, of a run with --holdout."
)
ENCODED_AT_ONCE = 1000
"""Images that ``genzoo encode`` holds as floats."""

RUN_HELP = "RUN is a folder, part of its name, `last`, `zoo:NAME` of a plugin, or `hf:USER/NAME` of a hub."
MOVED_HELP = " Data that were moved: --data.path FILE, --data.root FOLDER, as the dataset's option is called."


@click.command("viz", cls=DottedCommand, epilog=RUN_HELP + " Options: --traversal.span 2." + MOVED_HELP)
@click.argument("run")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--out", metavar="FOLDER", help="Where figures go.  [default the run's figures; ./NAME-figures for zoo:NAME]"
)
@click.option("--format", "formats", default="png", metavar="png|svg|png,svg", help="Of the figures.  [default png]")
@BEST
@click.option("--json", "as_json", is_flag=True, help="Print what was drawn as JSON.")
@click.pass_context
def viz(
    context: click.Context, run: str, names: tuple[str, ...], out: str | None, formats: str, best: bool, as_json: bool
) -> None:
    """Draw figures of RUN from its last sound checkpoint. Without a NAME, list the figures that fit the run."""
    from genzoo import storage
    from genzoo.compose.build import add_visualizer
    from genzoo.runs.data import refuse_figures
    from genzoo.training.draw import draw

    chosen = figure_formats(formats)
    data, dotted = data_options(context.meta["genzoo.dotted"], "viz")
    loaded = _load(run, best, data)
    if not names:
        _show_fitting(loaded, Kind.VISUALIZER, f"genzoo viz {run} NAME", as_json)
        return
    parts = with_options(names, dotted, "viz")
    choices = {key: loaded.choice(Kind.VISUALIZER, part.name, part.options) for key, part in parts.items()}
    folder = _folder(run, loaded, out)
    if folder == loaded.folder.figures:
        loaded.loaded.data.other = refuse_figures
    with interruptible("viz"):
        visualizers = {key: add_visualizer(loaded.loaded.experiment, choice) for key, choice in choices.items()}
        if not folder.is_dir():
            storage.make_folder(folder)
        results = draw(visualizers, loaded.view, folder, formats=chosen)
    if as_json:
        console.print_json({"folder": str(folder), "figures": results})
    else:
        for result in results.values():
            for file in result.get("files", []):
                console.say(str(folder / file))
    context.exit(_complain(results, "figure"))


@click.command("eval", cls=DottedCommand, epilog=RUN_HELP + " Options: --nll.samples 1000." + MOVED_HELP)
@click.argument("run")
@click.argument("names", nargs=-1, metavar="[METRIC...]")
@BEST
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.pass_context
def evaluate(context: click.Context, run: str, names: tuple[str, ...], best: bool, as_json: bool) -> None:
    """Compute metrics of RUN; the numbers are kept in its run.json with their protocol. Without a METRIC, list them."""
    from genzoo.compose.build import add_metric
    from genzoo.runs.per_image import keep
    from genzoo.training.draw import measure

    data, dotted = data_options(context.meta["genzoo.dotted"], "eval")
    loaded = _load(run, best, data)
    if not names:
        _show_fitting(loaded, Kind.METRIC, f"genzoo eval {run} METRIC", as_json)
        return
    parts = with_options(names, dotted, "eval")
    choices = {key: loaded.choice(Kind.METRIC, part.name, part.options) for key, part in parts.items()}
    with interruptible("eval"):
        metrics = {key: add_metric(loaded.loaded.experiment, choice) for key, choice in choices.items()}
        results = measure(metrics, loaded.view)
    for key, result in results.items():
        result["options"] = metrics[key].options.model_dump(mode="json")
        result["checkpoint"] = loaded.loaded.checkpoint.name
    if as_json:
        shown = {key: {k: v for k, v in result.items() if k != "per_image"} for key, result in results.items()}
        console.print_json({"run": str(loaded.path), "metrics": shown})
    else:
        rows = [
            [key, name, f"{value:.6g}", result["units"][name]]
            for key, result in results.items()
            for name, value in result.get("values", {}).items()
        ]
        if rows:
            console.show(console.table(["metric", "number", "value", "unit"], rows, console.width()))
        for key, result in results.items():
            if result.get("protocol"):
                console.show(console.paragraph(f"{key}: {result['protocol']}", console.width()))
    for key, result in results.items():
        for warning in result.get("warnings", ()):
            console.say(f"Warning: {key}: {warning}", err=True)
    # After they are shown, since a run on a disk that cannot be written is worth measuring too.
    if loaded.loaded.data.differences:
        console.say("The numbers are of other data than the run's, and are not kept in its run.json.", err=True)
    elif elsewhere(run) is None:
        with loaded.folder.locked(seconds=5):
            record = loaded.record
            metrics = {**record.get("metrics", {}), **keep(results, loaded.folder)}
            loaded.folder.update_record(metrics=metrics)
    context.exit(_complain(results, "metric"))


@click.command("sample", cls=DottedCommand, epilog=RUN_HELP)
@click.argument("run")
@click.option("-n", "--number", default=64, show_default=True, type=click.IntRange(1), help="How many images.")
@click.option(
    "--label",
    metavar="CLASS",
    help="Class of every image, by number or name, for a conditional model.  [default each in turn]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draw.")
@click.option("--draw", is_flag=True, help="Draw the pixels from p(x|z) too, instead of showing their means.")
@click.option(
    "--out", default="samples.png", show_default=True, metavar="FILE", help="A .png sheet, or .npz of images."
)
@BEST
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def sample(
    context: click.Context,
    run: str,
    number: int,
    label: str | None,
    seed: int,
    draw: bool,
    out: str,
    best: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Draw samples from the trained model of RUN."""
    from genzoo.api import labels_for

    target = target_file(out, (".png", ".npz"), force)
    loaded = _load(run, best, data_alone(context, "sample"))
    with interruptible("sample"):
        labels = labels_for(loaded.model, number, _label(label, loaded))
        images = loaded.model.sample(number, labels, seed=seed, mean=not draw)
    if target.suffix == ".npz":
        _save_arrays(target, {"images": images.cpu().numpy()})
    else:
        from genzoo import storage
        from genzoo.parts.figures import render
        from genzoo.parts.grids import image_grid

        columns = 10 if label is None and loaded.model.image.classes == 10 else max(1, round(number**0.5))
        title = f"{number} samples from {loaded.record.get('title', 'the model')}"
        storage.replace(target, render(image_grid(images.cpu(), min(columns, number), title=title)))
    if as_json:
        console.print_json({"file": str(target), "images": number, "seed": seed, "draw": draw})
    else:
        console.say(str(target))


@click.command("encode", cls=DottedCommand, epilog=RUN_HELP + MOVED_HELP)
@click.argument("run")
@click.option(
    "--out",
    required=True,
    metavar="FILE.npz",
    help="Arrays: codes (and codes_2, … a level), labels, factors, "
    "indices of the images in the dataset's split, and files, where they come from files.",
)
@click.option("--split", default="test", show_default=True, help="Split whose images are encoded.")
@click.option("--limit", type=click.IntRange(1), help="Only N images, drawn in every class.")
@BEST
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def encode(
    context: click.Context, run: str, out: str, split: str, limit: int | None, best: bool, force: bool, as_json: bool
) -> None:
    """Write the posterior means (codes of a discrete model) of a split's images."""
    import numpy as np

    from genzoo.parts.latents import encode as encode_batch

    target = target_file(out, (".npz",), force)
    loaded = _load(run, best, data_alone(context, "encode"))
    found: dict[str, list[Any]] = {}
    with interruptible("encode"):
        for batch in loaded.view.batches(ENCODED_AT_ONCE, limit, split):
            levels = encode_batch(loaded.model, batch).levels
            named = {f"codes_{level + 1}" if level else "codes": codes for level, codes in enumerate(levels)}
            for name, values in {**named, "labels": batch.label, "factors": batch.factors}.items():
                if values is not None:
                    found.setdefault(name, []).append(values.cpu().numpy())
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    arrays["indices"] = loaded.loaded.rows(split, limit).numpy()
    names = loaded.loaded.data.names("train" if split == "holdout" else split)
    if names is not None:
        arrays["files"] = np.array([names[row] for row in arrays["indices"]])
    _save_arrays(target, arrays)
    shapes = {name: [*array.shape] for name, array in arrays.items()}
    if as_json:
        console.print_json({"file": str(target), "arrays": shapes})
    else:
        console.say(f"{target}: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))


def _label(word: str | None, loaded: Run) -> int | None:
    """A class by its number, or by its name where the data have names."""
    if word is None:
        return None
    names = loaded.model.image.class_names or ()
    if word in names:
        return names.index(word)
    try:
        return int(word)
    except ValueError:
        known = f" or one of {', '.join(names)}" if names else ""
        raise UsageError(f"sample: --label must be the number of a class{known}, got {word!r}.") from None


def _show_fitting(loaded: Run, kind: Kind, usage: str, as_json: bool) -> None:
    """List the figures or metrics that fit a run, and why the others do not."""
    from genzoo.compose.build import add_metric, add_visualizer

    add = add_visualizer if kind == Kind.VISUALIZER else add_metric
    fitting: list[list[str]] = []
    refused: dict[str, str] = {}
    for installed in loaded.host.components(kind):
        try:
            add(loaded.loaded.experiment, loaded.choice(kind, installed.qualified, {}))
        except GenzooError as error:
            refused[installed.name] = error.message
        else:
            fitting.append([installed.name, installed.component.summary])
    if as_json:
        console.print_json({"fit": [name for name, _ in fitting], "refused": refused})
        return
    console.show(console.table(["name", "summary"], fitting, console.width()))
    if refused:
        console.show(console.paragraph(f"These do not fit this run: {', '.join(refused)}.", console.width()))
    console.say(f"Use one: {usage}", err=True)


@contextmanager
def interruptible(command: str) -> Generator[None]:
    """Leave at the first signal: what was written is whole, and nothing else needs to be saved."""
    from genzoo.engine.signals import Signals, StopRequested
    from genzoo.errors import Interrupted

    with Signals() as signals:
        try:
            with signals.at_once():
                yield
        except StopRequested as stop:
            raise Interrupted(stop.signum, f"{command}: stopped by signal {stop.signum}.") from None


def _load(run: str, best: bool, data: Mapping[str, str]) -> Run:
    from genzoo.api import load

    return load(run, best=best, data=data)


def data_alone(context: click.Context, command: str) -> dict[str, str]:
    """The options that point at the run's data, for a command that takes no other dotted flag."""
    dotted: list[Dotted] = context.meta["genzoo.dotted"]
    data, rest = data_options(dotted, command)
    if rest:
        raise UsageError(
            f"{command}: there is no option --{'.'.join(rest[0][0])}.",
            "Dotted flags of this command begin with --data.",
        )
    return data


def _folder(name: str, run: Run, out: str | None) -> Path:
    if out is not None:
        return Path(out)
    short = elsewhere(name)
    return Path(f"{short}-figures") if short else run.folder.figures


def with_options(names: tuple[str, ...], dotted: list[tuple[tuple[str, ...], str]], command: str) -> dict[str, Part]:
    """The named parts with the options given as ``--NAME.OPTION`` (or ``--viz.NAME.OPTION``)."""
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for path, value in dotted:
        path = path[1:] if len(path) == 3 and path[0] in {"viz", "metric"} else path
        if len(path) != 2 or path[0] not in options:
            raise UsageError(
                f"{command}: --{'.'.join(path)} must belong to one of {', '.join(names)}.",
                f"Write --{names[0]}.OPTION VALUE; see `genzoo info {names[0]}`.",
            )
        options[path[0]][path[1].replace("-", "_")] = value
    return {bare_name(name): Part(name=name, options=values) for name, values in options.items()}


def target_file(out: str, suffixes: tuple[str, ...], force: bool) -> Path:
    """The file that ``--out`` names.

    Raises:
        UsageError: If it is of another kind, there already, or in no folder.
    """
    target = Path(out)
    if target.suffix not in suffixes:
        raise UsageError(f"--out must end in {' or '.join(suffixes)}, got {out!r}.")
    if "\0" in out or len(target.name.encode()) > 200:
        raise UsageError("--out must be a file name that the system takes, got one that is too long or has NUL.")
    if target.exists() and not force:
        raise UsageError(f"--out must not exist, got {out!r}, which does.", "Choose another, or add --force.")
    if not target.parent.is_dir():
        raise UsageError(f"--out must be in a folder that exists, got {out!r}.", f"Make it: mkdir -p {target.parent}")
    return target


def _save_arrays(target: Path, arrays: Mapping[str, Any]) -> None:
    import io

    import numpy as np

    from genzoo import storage

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    storage.replace(target, buffer.getvalue())


def _complain(results: Mapping[str, Any], what: str) -> int:
    failed = {key: result["error"] for key, result in results.items() if "error" in result}
    for key, error in failed.items():
        console.say(f"Error: {what} {key} failed: {error}", err=True)
    return 1 if failed else 0
