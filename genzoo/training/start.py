"""A run from the outside: started in a new folder, or gone on with in its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from genzoo import storage
from genzoo.compose.build import build
from genzoo.compose.plan import Plan, plan
from genzoo.engine.checkpoint import clear_leftovers, find, mend_pointers, read_manifest
from genzoo.engine.listener import Listener
from genzoo.engine.settings import choose
from genzoo.engine.signals import Signals
from genzoo.engine.train import State
from genzoo.engine.workers import joined
from genzoo.errors import CorruptError, UsageError, describe, is_out_of_memory
from genzoo.host.plugin_host import Host
from genzoo.process import own_state
from genzoo.recipe import Recipe, read_recipe
from genzoo.runs.data import DataRecord, RunData, moved, refuse_other
from genzoo.runs.folder import RunFolder, create
from genzoo.runs.identity import RESUME_MAY_CHANGE, identity, refuse_edited, refuse_foreign
from genzoo.runs.load import splits, warn_of_versions
from genzoo.runs.record import first_record, now
from genzoo.runs.runlog import logging_to
from genzoo.training.follow import follow, lead
from genzoo.training.found import found_data
from genzoo.training.initial import copy_weights, freeze
from genzoo.training.job import Job, as_genzoo
from genzoo.training.outcome import Outcome

_log = logging.getLogger("genzoo.run")


@own_state()
def start(
    resolved: Plan,
    host: Host,
    *,
    out: Path,
    name: str = "",
    listener: Listener | None = None,
    argv: Sequence[str] = (),
    formats: tuple[str, ...] = ("png",),
    on_folder: Callable[[Path], None] | None = None,
) -> Outcome:
    """Train a plan in a new run folder.

    Args:
        resolved: What to train.
        host: Where its plugins come from.
        out: The folder of runs.
        name: A name for the run's folder.
        listener: Told how it goes.
        argv: The command, for the record.
        formats: Of the figures.
        on_folder: Called with the run's folder as soon as it has a record.

    Raises:
        GenzooError: With the exit code that says why; what was made until then is kept and the record says so.
    """
    with joined() as workers:
        with workers.in_turn():
            experiment = build(resolved)
            freeze(experiment)
            fresh = copy_weights(experiment)
            data = RunData(resolved, None, refuse_other, dataset=experiment.dataset)
            parts = splits(data, resolved.train)
        settings = choose(workers.place(resolved.train), experiment.model)
        if not workers.first:
            return Outcome(RunFolder(follow(experiment, parts, workers, settings)))
        listener = listener or Listener()
        found = found_data(experiment.dataset, parts, resolved.train)
        found.tell(listener)
        folder = create(out, resolved.model.name, name)
        # From the first record on: a signal while the run is made ready is met before its first step.
        signals = Signals()
        with folder.locked(), signals:
            storage.replace(folder.config_file, resolved.recipe().to_toml().encode())
            told = {"data": data.record(), "found": found.record()}
            folder.write_record({**first_record(resolved, argv), "formats": formats, **told})
            if on_folder is not None:
                on_folder(folder.path)
            with _recorded(folder):
                job = Job(folder, experiment, parts, host, listener, formats, workers, settings)
            job.signals = signals
            if resolved.init is not None:
                started = f" but for {', '.join(sorted({name.partition('.')[0] for name in fresh}))}" if fresh else ""
                job.listener.note(f"Weights start from {resolved.init.run}{started}.")
            lead(workers, folder.path, None)
            return job.run(fresh=True)


@own_state()
def resume(
    folder: RunFolder,
    host: Host,
    *,
    changes: Mapping[str, Any] | None = None,
    visualizers: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    argv: Sequence[str] = (),
    formats: tuple[str, ...] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Outcome:
    """Go on with a run in its own folder, from its newest sound checkpoint.

    Args:
        folder: The run.
        host: Where its plugins come from.
        changes: Training options; only those in `RESUME_MAY_CHANGE` may differ from the run's.
        visualizers: key → `Part` to add; of a finished run they are drawn, also those that it has.
        metrics: key → `Part` to add; of a finished run they are measured, also those that it has.
        listener: Told how it goes.
        argv: The command, for the record.
        formats: Of the figures; None: those that the run was started with.
        data: Options of the dataset that say where its files lie now, where they were moved.

    Raises:
        UsageError: If the data are others, an option differs that may not, or config.toml was edited.
        CorruptError: If no checkpoint is sound, or it is of another run.
    """
    listener = listener or Listener()
    with joined() as workers, folder.locked() if workers.first else nullcontext():
        before = moved(read_recipe(folder.config_file), data or {}, host)
        # What follows the length of the run follows the one that it was started with.
        before = plan(before, host).recipe()
        recipe = _changed(before, changes or {}, visualizers or {}, metrics or {})
        resolved = plan(recipe, host)
        refuse_edited(folder, resolved, host)
        told = warn_of_versions(folder, resolved, listener.warn)
        record: dict[str, Any] = folder.record()
        if "found" not in record and (resolved.train.limit or resolved.train.holdout):
            told.append(
                "The run was begun when --limit and --holdout took images by position; now they are drawn by seed."
            )
            listener.warn(told[-1])
        with workers.in_turn():
            experiment = build(resolved)
            freeze(experiment)
            recorded = DataRecord.read(record, str(folder.record_file))
            source = RunData(resolved, recorded, refuse_other, listener.warn, experiment.dataset)
            parts = splits(source, resolved.train)
        if not workers.first:
            return Outcome(RunFolder(follow(experiment, parts, workers)))
        if recorded is None:
            listener.warn("The run recorded nothing of its data, so that these could not be compared with them.")
        record = {**record, "data": source.record()}
        formats = formats or tuple(record.get("formats", ("png",)))
        job = Job(folder, experiment, parts, host, listener, formats, workers)
        clear_leftovers(folder.checkpoints)
        for place in (folder.path, folder.figures):
            storage.remove_leftovers(place)
        checkpoint = find(folder.checkpoints, warn=listener.warn)
        resumed = {"at": now(), "argv": list(argv), "warnings": told}
        if checkpoint is None:
            copy_weights(experiment)
            folder.rewind(0)
        else:
            refuse_foreign(folder, read_manifest(checkpoint), listener.warn)
            with _fitting(checkpoint):
                job.trainer.restore(checkpoint)
            mend_pointers(folder.checkpoints, checkpoint, {"best_step": job.trainer.best_step})
            if job.trainer.finished and record.get("status") == "finished":
                lead(workers, folder.path, checkpoint, go_on=False)
                figures = _wanted(recipe.visualizers, visualizers or {}, record.get("figures", {}))
                numbers = _wanted(recipe.metrics, metrics or {}, record.get("metrics", {}))
                if not (figures or numbers):
                    more = job.trainer.state.epochs_done >= resolved.train.epochs
                    listener.note(
                        f"{folder.path} is finished; nothing to resume."
                        + (" Give more --epochs to train on." if more else " It ended by --patience or --steps.")
                    )
                    return Outcome(folder, job.last_row(), record.get("verdict", ""))
                kept = resolved.recipe().model_copy(update={"train": before.train})
                _keep(folder, record, resolved, kept, {**resumed, "step": job.trainer.total_steps_taken})
                return job.add(figures, numbers)
            _refuse_fewer(before, resolved, job.trainer.state)
            prior = job.trainer.state.prior
            folder.rewind(job.trainer.state.epochs_done, prior["epochs_done"] if prior else 0)
            there, trained = len(folder.rows("epoch")), job.trainer.state.epochs_done
            if there < trained:
                listener.warn(
                    f"{folder.metrics_file} has the numbers of {there} of {trained} epochs; the others are lost."
                )
        told += job.warn_of_machine(record.get("settings", {}))
        resumed |= {"step": job.trainer.total_steps_taken, "warnings": told}
        _keep(folder, {**record, "status": "running"}, resolved, resolved.recipe(), resumed)
        lead(workers, folder.path, checkpoint)
        return job.run(fresh=checkpoint is None)


def _changed(
    recipe: Recipe, changes: Mapping[str, Any], visualizers: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Recipe:
    refused = [
        f"{key} is {recipe.train.get(key)} and {value} was asked for"
        for key, value in changes.items()
        if key not in RESUME_MAY_CHANGE and recipe.train.get(key) != value
    ]
    if refused:
        raise UsageError(
            f"run: a resumed run keeps its options, but {'; '.join(refused)}.",
            "Only epochs, visualizers and metrics may change; start a new run for the rest.",
        )
    return recipe.model_copy(
        update={
            "train": {**recipe.train, **changes},
            "visualizers": {**recipe.visualizers, **visualizers},
            "metrics": {**recipe.metrics, **metrics},
        }
    )


def _refuse_fewer(before: Recipe, resolved: Plan, state: State) -> None:
    """Refuse to end a run where it has been already: what it reports of its last epoch was not computed there."""
    asked, trained = resolved.train.epochs, state.epochs_done
    if asked < before.train_options().epochs and asked <= trained:
        raise UsageError(
            f"run: --epochs of a resumed run must be more than the {trained} that are trained, or stay at "
            f"{before.train_options().epochs}, got {asked}.",
            "The checkpoint is there: `genzoo eval` and `genzoo viz` use it as it is.",
        )


@contextmanager
def _recorded(folder: RunFolder) -> Generator[None]:
    """A block that makes ready to train; what it raises ends the run, and the record says so."""
    try:
        with logging_to(folder.log_file):
            try:
                yield
            except Exception as error:
                _log.info("run failed", exc_info=error)
                raise
    except Exception as error:
        shown = as_genzoo(error, trained=False)
        folder.update_record(status="failed", ended=now(), exit_code=shown.exit_code, exit_reason=shown.message)
        if shown is error:
            raise
        raise shown from error


@contextmanager
def _fitting(checkpoint: Path) -> Generator[None]:
    """A block that puts a checkpoint's state back; one of another shape than this release writes is refused."""
    try:
        yield
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise CorruptError(f"checkpoint: {checkpoint.name} does not fit the run: {describe(error)}.") from error


def _wanted(parts: Mapping[str, Any], asked: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Keys of what a finished run is to make: what was asked for now, and what it never came to."""
    return [key for key in parts if key in asked or key not in made]


def _keep(
    folder: RunFolder, record: Mapping[str, Any], resolved: Plan, recipe: Recipe, resumed: Mapping[str, Any]
) -> None:
    """Keep what a resumed run is made of and that it was resumed."""
    storage.replace(folder.config_file, recipe.to_toml().encode())
    times = [*record.get("resumed", []), resumed]
    own = record.get("identity") or identity(resolved)
    folder.write_record({**record, "components": resolved.records(), "resumed": times, "identity": own})
