"""The whole job of a run: make its folder, train, draw, measure, and leave a record whatever happens."""

from __future__ import annotations

import logging
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from genzoo import __version__, storage
from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import DEFAULTS, Plan, plan
from genzoo.engine.checkpoint import BEST, find, load_checkpoint, prune, read_state, save_checkpoint
from genzoo.engine.settings import choose
from genzoo.engine.signals import Signals, StopRequested
from genzoo.engine.train import Tick, Trainer
from genzoo.engine.workers import Workers, joined
from genzoo.errors import GenzooError, Interrupted, UsageError, WorkerLost
from genzoo.estimators import active_units
from genzoo.host import Host, Problem
from genzoo.interfaces.model import Model
from genzoo.interfaces.scheduler import Progress
from genzoo.recipe import Recipe, read_recipe
from genzoo.runs.draw import at_rest, draw, measure
from genzoo.runs.folder import SCHEMA, RunFolder, create
from genzoo.runs.follow import follow, lead
from genzoo.runs.load import make_view, splits, warn_of_versions
from genzoo.runs.reporter import Reporter
from genzoo.runs.verdict import remedies_of, verdict
from genzoo.types import Batch, Capability, Kind, Split

_log = logging.getLogger("genzoo.run")

RESUME_MAY_CHANGE = ("epochs", "viz_every")
"""Training options that a resumed run may change; visualizers and metrics too."""


@dataclass
class Outcome:
    """What a run came to.

    Args:
        folder: The run folder.
        row: The last epoch's row, None if there is none.
        verdict: In plain words.
        figures: key → files or error.
        metrics: key → values or error.
        exit_code: 0, or 1 when a figure or metric failed.
    """

    folder: RunFolder
    row: Mapping[str, Any] | None = None
    verdict: str = ""
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    exit_code: int = 0


def start(
    resolved: Plan,
    host: Host,
    *,
    out: Path,
    name: str = "",
    reporter: Reporter | None = None,
    argv: Sequence[str] = (),
    formats: tuple[str, ...] = ("png",),
) -> Outcome:
    """Train a plan in a new run folder.

    Raises:
        GenzooError: With the exit code that says why; what was made until then is kept and the record says so.
    """
    with joined() as workers:
        with workers.in_turn():
            experiment = build(resolved)
            parts = splits(experiment.dataset, resolved.train)
        choose(workers.place(resolved.train), experiment.model)
        if not workers.first:
            return Outcome(RunFolder(follow(experiment, parts, workers)))
        folder = create(out, resolved.model.name, name)
        with folder.locked():
            storage.replace(folder.config_file, resolved.recipe().to_toml().encode())
            folder.write_record({**_first_record(resolved, argv), "formats": formats})
            job = _Job(folder, experiment, parts, host, reporter or Reporter(), formats, workers)
            lead(workers, folder.path, None)
            return job.run(fresh=True)


def resume(
    folder: RunFolder,
    host: Host,
    *,
    changes: Mapping[str, Any] | None = None,
    visualizers: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
    argv: Sequence[str] = (),
    formats: tuple[str, ...] | None = None,
) -> Outcome:
    """Go on with a run in its own folder, from its newest sound checkpoint.

    Args:
        folder: The run.
        host: Where its plugins come from.
        changes: Training options; only those in `RESUME_MAY_CHANGE` may differ from the run's.
        visualizers: key → `Part` to add.
        metrics: key → `Part` to add.
        reporter: Told how it goes.
        argv: The command, for the record.
        formats: Of the figures; None: those that the run was started with.

    Raises:
        UsageError: If an option differs that may not.
        CorruptError: If no checkpoint is sound.
    """
    reporter = reporter or Reporter()
    with joined() as workers, folder.locked() if workers.first else nullcontext():
        recipe = read_recipe(folder.config_file)
        recipe = _changed(recipe, changes or {}, visualizers or {}, metrics or {})
        resolved = plan(recipe, host)
        told = warn_of_versions(folder, resolved, reporter.warn)
        record = folder.record()
        with workers.in_turn():
            experiment = build(resolved)
            parts = splits(experiment.dataset, resolved.train)
        if not workers.first:
            return Outcome(RunFolder(follow(experiment, parts, workers)))
        formats = formats or tuple(record.get("formats", ("png",)))
        job = _Job(folder, experiment, parts, host, reporter, formats, workers)
        checkpoint = find(folder.checkpoints, warn=reporter.warn)
        if checkpoint is None:
            folder.rewind(0)
        else:
            job.trainer.restore(read_state(checkpoint))
            load_checkpoint(checkpoint, experiment.model, job.trainer.optimizer, experiment.loss)
            if job.trainer.finished and record.get("status") == "finished":
                reporter.note(f"{folder.path} is finished; nothing to resume. Give more --epochs to train on.")
                lead(workers, folder.path, checkpoint, go_on=False)
                return Outcome(folder, job.last_row(), record.get("verdict", ""))
            prior = job.trainer.state.prior
            folder.rewind(job.trainer.state.epochs_done, prior["epochs_done"] if prior else 0)
        told += job.warn_of_machine(record.get("settings", {}))
        storage.replace(folder.config_file, resolved.recipe().to_toml().encode())
        resumed = [
            *record.get("resumed", []),
            {"at": _now(), "step": job.trainer.state.step, "argv": list(argv), "warnings": told},
        ]
        folder.write_record({**record, "status": "running", "components": resolved.records(), "resumed": resumed})
        lead(workers, folder.path, checkpoint)
        return job.run(fresh=checkpoint is None)


class _Job:
    """One process's work on a run; the trainer's observer."""

    def __init__(
        self,
        folder: RunFolder,
        experiment: Experiment,
        parts: dict[str, Split],
        host: Host,
        reporter: Reporter,
        formats: tuple[str, ...],
        workers: Workers,
    ) -> None:
        self.folder, self.experiment, self.parts, self.host = folder, experiment, parts, host
        self.reporter, self.formats = reporter, formats
        self.trainer = Trainer(experiment, self, parts, workers)
        self.signals = Signals()
        self.figures: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self._trackers: set[str] = set()
        self._drawn_at = -1
        self._saved_at = -1

    # The trainer's observer.

    def tick(self, tick: Tick) -> None:
        self.reporter.tick(tick)

    def epoch(self, row: dict[str, Any]) -> None:
        self.folder.add_row(row)
        self.reporter.epoch(row, self.trainer.epochs)

    def prior_epoch(self, row: dict[str, Any], epochs: int) -> None:
        self.folder.add_row(row)
        self.reporter.prior_epoch(row, epochs)

    def epoch_over(self, trainer: Trainer, row: dict[str, Any]) -> None:
        self._lifecycle("genzoo_epoch_end", folder=self.folder.path, row=row)
        if row["kind"] == "epoch" and self._figures_are_due(row["epoch"]):
            if self._saved_at != trainer.total_steps_taken:
                self.save(trainer, best=False)
            # Of several processes the others are at work meanwhile, so the signal waits for the poll they share.
            with self.signals.at_once() if trainer.workers.size == 1 else nullcontext():
                self._draw(row["epoch"])

    def fitted(self, row: dict[str, Any]) -> None:
        self.folder.add_row(row)

    def save(self, trainer: Trainer, *, best: bool) -> None:
        path = save_checkpoint(
            self.folder.checkpoints,
            trainer.total_steps_taken,
            trainer.model,
            trainer.optimizer,
            trainer.loss,
            trainer.snapshot(),
        )
        if best:
            storage.replace(self.folder.checkpoints / BEST, path.name.encode())
        prune(self.folder.checkpoints, trainer.options.keep)
        self._saved_at = trainer.total_steps_taken

    # The job.

    def run(self, *, fresh: bool) -> Outcome:
        """Train to the end and write the record, whatever happens; ``fresh`` if there is no checkpoint to go on from.

        What plugins print goes to stderr, so that stdout carries results alone.
        """
        with _logging_to(self.folder.log_file), self.signals, redirect_stdout(sys.stderr):
            try:
                return self._run(fresh)
            except KeyboardInterrupt:
                self._failed(Interrupted(signal.SIGINT, "run: stopped at once by a second signal."), "interrupted")
                raise

    def _run(self, fresh: bool) -> Outcome:
        try:
            if fresh:
                self.trainer.initialise()
            self._begin()
            self.trainer.fit(self.signals)
            return self._end()
        except StopRequested as stop:
            error = Interrupted(stop.signum, f"run: stopped by signal {stop.signum} after training.")
            self._failed(error, "interrupted")
            raise error from None
        except Interrupted as error:
            if error.signum == signal.SIGINT:
                # A person stopped it and will want to see what there is; a second Ctrl-C leaves this too.
                self._draw_at_last()
            self._failed(error, "interrupted")
            raise
        except (Exception, SystemExit) as error:
            shown = _as_genzoo(error)
            _log.info("run failed", exc_info=error)
            if isinstance(error, WorkerLost):
                error.hint = f"Go on with `genzoo run --resume {self.folder.path}`."
            else:
                self._draw_at_last()
            self._failed(shown, "failed")
            if shown is error:
                raise
            raise shown from error

    def last_row(self) -> Mapping[str, Any] | None:
        """The last epoch's row, with the test numbers of the fitted prior where one was fitted after it."""
        return self.folder.last_row()

    def warn_of_machine(self, before: Mapping[str, Any]) -> list[str]:
        """Tell what differs from the machine that the run began on, since the numbers may then differ."""
        now = self.trainer.settings.record()
        told = [
            f"{key} is {now[key]} and was {before[key]}; results may differ from an uninterrupted run's."
            for key in now
            if key in before and before[key] != now[key]
        ]
        for message in told:
            self.reporter.warn(message)
        return told

    def _begin(self) -> None:
        settings = self.trainer.settings.record()
        facts = {
            "parameters": self.experiment.parameters(),
            "images": {name: len(split) for name, split in self.parts.items()},
            "resumed_at": self.trainer.state.step,
        }
        self.folder.update_record(
            settings=settings, parameters=facts["parameters"], images=facts["images"], pid=os.getpid()
        )
        self.reporter.started(self.folder.path, self.experiment.plan, settings, facts)
        end = Progress(
            self.trainer.epochs,
            self.trainer.steps_per_epoch * self.trainer.epochs - 1,
            self.trainer.steps_per_epoch,
            self.trainer.epochs,
        )
        for slot, value in self.experiment.schedule.unfinished(end).items():
            self.reporter.warn(f"The schedule of {slot} is longer than the run: it ends at {slot} = {value:.3g}.")
        self._lifecycle("genzoo_run_start", folder=self.folder.path, record=self.folder.record())

    def _end(self) -> Outcome:
        with self.signals.at_once():
            self._draw(self.trainer.epochs)
            view = make_view(self.experiment, self.parts, self.folder)
            self.metrics = measure(self.experiment.metrics, view)
        for key, result in self.metrics.items():
            if "error" in result:
                self.reporter.warn(f"metric {key} failed: {result['error']}")
        row = self.last_row()
        told = self._verdict(row) if row else ""
        failed = [key for key, result in [*self.figures.items(), *self.metrics.items()] if "error" in result]
        failed += sorted(self._trackers)
        code = 1 if failed else 0
        reason = f"failed: {', '.join(failed)}" if failed else "trained to the end"
        self._record_end("finished", code, reason, verdict=told, summary=row)
        return Outcome(self.folder, row, told, self.figures, self.metrics, code)

    def _verdict(self, row: Mapping[str, Any]) -> str:
        model = self.experiment.model
        units = size = None
        if Capability.REAL_LATENT in model.capabilities:
            view = make_view(self.experiment, self.parts, None)
            with at_rest(view, "verdict"):
                units, size = _units_in_use(model, view.batch(1000))
        resolved, configured = self.experiment.plan, self.experiment.schedule.configured
        kinds = (Kind.DATASET, Kind.LIKELIHOOD, Kind.PRIOR, Kind.LOSS)
        defaults = all(resolved[kind].name == DEFAULTS[kind] for kind in kinds) and configured.get("beta") == 1
        loss = self.experiment.loss.options
        warm_up = [getattr(choice.options, "epochs", None) for choice in resolved.schedulers.get("beta", ())]
        return verdict(
            row,
            units,
            size,
            remedies=remedies_of(loss, configured, max((length for length in warm_up if length), default=None)),
            report_setup=size == 2 and defaults,
        )

    def _figures_are_due(self, epoch: int) -> bool:
        """After the first epoch and then every so many; the last epoch's are drawn at the end."""
        every = self.trainer.options.viz_every
        early = epoch == 1 or (every and epoch % every == 0)
        return bool(self.experiment.visualizers and early and epoch < self.trainer.epochs)

    def _draw(self, epoch: int) -> None:
        if not self.experiment.visualizers or self._drawn_at == epoch:
            return
        view = make_view(self.experiment, self.parts, self.folder)
        results = draw(self.experiment.visualizers, view, self.folder.figures, formats=self.formats)
        self.figures.update(results)
        self._drawn_at = epoch
        self.reporter.figures(results, self.folder.figures)

    def _failed(self, error: GenzooError, status: str) -> None:
        """Leave the record of a run that did not come to its end."""
        if status == "interrupted":
            error.hint = f"Go on with `genzoo run --resume {self.folder.path}`."
        try:
            self._record_end(status, error.exit_code, error.message)
        except GenzooError as second:
            _log.warning("the record could not be written: %s", second)

    def _draw_at_last(self) -> None:
        """Figures of what there is, after a failure."""
        try:
            self._draw(self.trainer.state.epochs_done)
        except Exception as second:
            _log.debug("figures after a failure failed too", exc_info=second)

    def _record_end(self, status: str, code: int, reason: str, **more: Any) -> None:
        before = self.folder.record()
        self.folder.update_record(
            status=status,
            ended=_now(),
            exit_code=code,
            exit_reason=reason,
            figures={**before.get("figures", {}), **self.figures},
            metrics={**before.get("metrics", {}), **self.metrics},
            **more,
        )
        files = [self.folder.figures / name for result in self.figures.values() for name in result.get("files", [])]
        self._lifecycle("genzoo_run_end", folder=self.folder.path, status=status, figures=files)

    def _lifecycle(self, hook: str, **arguments: Any) -> None:
        problems: list[Problem] = self.host.call_lifecycle(hook, **arguments)
        for problem in problems:
            self._trackers.add(f"tracker {problem.distribution}")
            self.reporter.warn(str(problem))


def _units_in_use(model: Model, batch: Batch) -> tuple[int, int]:
    """How many latent units of all levels vary with the image, and how many there are."""

    several = len(model.levels) > 1

    def means() -> torch.Tensor:
        latents = model.encode(batch, samples=20 if several else 1).latents
        return torch.cat([each.posterior.mean.expand_as(each.sample).mean(0).flatten(1) for each in latents], 1)

    first = means()
    # The means of a level may depend on samples of another: other samples leave out the noise of the first.
    again = means() if several else None
    return int(active_units(first, again=again).sum()), first.shape[1]


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


def _first_record(resolved: Plan, argv: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": "running",
        "title": resolved.title,
        "argv": list(argv),
        "seed": resolved.train.seed,
        "created": _now(),
        "genzoo": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
        "components": resolved.records(),
    }


def _git_commit() -> str | None:
    """The commit of the folder that the run is started from, None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _as_genzoo(error: BaseException) -> GenzooError:
    """The error as one sentence with an exit code."""
    if isinstance(error, GenzooError):
        return error
    text = str(error)
    if (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "not enough memory" in text
        or "out of memory" in text
    ):
        return GenzooError("run: the device ran out of memory.", "Try a smaller --batch-size.")
    return GenzooError(f"run: {type(error).__name__}: {text}.", "The traceback is in the run's run.log.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class _RunLog(logging.FileHandler):
    """A log whose disk may fill up: what it cannot write is lost, and the run goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name that logging calls
        pass


@contextmanager
def _logging_to(path: Path) -> Generator[None]:
    """Everything that genzoo logs, tracebacks included, also goes to the run's log."""
    logger = logging.getLogger("genzoo")
    handler = _RunLog(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        with suppress(OSError):
            handler.close()
