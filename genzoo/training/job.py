"""The work on one run, from its first step to its record: train, save, draw, measure, and tell whatever happens."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genzoo import storage
from genzoo.compose.build import Experiment
from genzoo.engine.checkpoint import find, save_checkpoint
from genzoo.engine.checkpoint_folder import BEST, prune
from genzoo.engine.listener import Listener, Tick
from genzoo.engine.settings import Settings
from genzoo.engine.signals import Signals, StopRequested
from genzoo.engine.stage import Stage
from genzoo.engine.train import Trainer
from genzoo.engine.workers import Workers
from genzoo.errors import GenzooError, Interrupted, WorkerLost, describe, is_out_of_memory
from genzoo.host.plugin_host import Host, Problem
from genzoo.interfaces.scheduler import Progress
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import make_view
from genzoo.runs.per_image import keep
from genzoo.runs.record import now
from genzoo.runs.reports import written
from genzoo.runs.runlog import logging_to
from genzoo.training.closing import findings_of
from genzoo.training.draw import draw, measure
from genzoo.training.follow import coupled_by_process
from genzoo.training.outcome import Outcome
from genzoo.training.verdict import paragraph
from genzoo.types import Split

_log = logging.getLogger("genzoo.run")


class Job(Listener):
    """One process's work on a run: it keeps what training makes, and tells another listener of it."""

    def __init__(
        self,
        folder: RunFolder,
        experiment: Experiment,
        parts: dict[str, Split],
        host: Host,
        listener: Listener,
        formats: tuple[str, ...],
        workers: Workers,
        settings: Settings | None = None,
    ) -> None:
        self.folder, self.experiment, self.parts, self.host = folder, experiment, parts, host
        self.listener, self.formats = listener, formats
        self.trainer = Trainer(experiment, self, parts, workers, settings)
        self.signals = Signals()
        self.drawn: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self._trackers: set[str] = set()
        self._drawn_at = -1
        self._saved_at = -1

    # What the trainer tells.

    def tick(self, tick: Tick) -> None:
        self.listener.tick(tick)

    def epoch(self, row: dict[str, Any], stage: Stage) -> None:
        self.folder.add_row(row)
        self.listener.epoch(row, stage)

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
            trainer.optimizers(),
            trainer.loss,
            trainer.snapshot(),
            trainer.tensors(),
            identity=self._identity,
        )
        if best:
            storage.replace(self.folder.checkpoints / BEST, path.name.encode())
        prune(self.folder.checkpoints, trainer.options.keep)
        self._saved_at = trainer.total_steps_taken

    @cached_property
    def _identity(self) -> Mapping[str, Any] | None:
        return self.folder.record().get("identity")

    def best_checkpoint(self) -> Path | None:
        return find(self.folder.checkpoints, best=True, warn=self.listener.warn)

    # The job.

    def run(self, *, fresh: bool) -> Outcome:
        """Train to the end and write the record, whatever happens; ``fresh`` if there is no checkpoint to go on from.

        What plugins print goes to stderr, so that stdout carries results alone.
        """
        with logging_to(self.folder.log_file), self.signals, redirect_stdout(sys.stderr):
            try:
                return self._run(fresh)
            except KeyboardInterrupt:
                self._failed(Interrupted(signal.SIGINT, "run: stopped at once by a second signal."), "interrupted")
                raise

    def add(self, figures: Sequence[str], metrics: Sequence[str]) -> Outcome:
        """Draw and measure more of a run that is finished, and keep it in the record; the rest stays as it is.

        Args:
            figures: Keys of the experiment's visualizers.
            metrics: Keys of its metrics.

        Raises:
            Interrupted: At a signal; the run stays finished.
        """
        visualizers = {key: self.experiment.visualizers[key] for key in figures}
        view = make_view(self.experiment, self.parts, self.folder)
        with logging_to(self.folder.log_file), self.signals, redirect_stdout(sys.stderr):
            try:
                with self.signals.at_once():
                    self.drawn = draw(visualizers, view, self.folder.figures, formats=self.formats)
                    self.metrics = keep(
                        measure({key: self.experiment.metrics[key] for key in metrics}, view), self.folder
                    )
            except StopRequested as stop:
                raise Interrupted(
                    stop.signum, f"run: stopped by signal {stop.signum}; {self.folder.path} stays finished."
                ) from None
            record = self.folder.record()
            self.folder.update_record(
                figures={**record.get("figures", {}), **self.drawn},
                metrics={**record.get("metrics", {}), **self.metrics},
            )
        made = [f"{verb} {', '.join(keys)}" for verb, keys in (("drew", figures), ("measured", metrics)) if keys]
        self.listener.note(f"{self.folder.path} is finished and was not trained on: {' and '.join(made)}.")
        failed = self._failures()
        for key, error in failed.items():
            self.listener.warn(f"{key} failed: {error}")
        told = str(record.get("verdict", ""))
        return Outcome(self.folder, self.last_row(), told, self.drawn, self.metrics, 1 if failed else 0)

    def _failures(self) -> dict[str, str]:
        """key → error of the figures and metrics that failed."""
        return {key: made["error"] for key, made in [*self.drawn.items(), *self.metrics.items()] if "error" in made}

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
            shown = as_genzoo(error)
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
            self.listener.warn(message)
        return told

    def _begin(self) -> None:
        settings = self.trainer.settings.record()
        facts = {
            "parameters": self.experiment.parameters(),
            "images": {name: len(split) for name, split in self.parts.items()},
            "stages": self.trainer.stages,
            "fit_epochs": self.trainer.fit_epochs,
            "resumed_at": self.trainer.total_steps_taken,
        }
        if settings["device"].startswith("cuda"):
            self.folder.update_record(processor=torch.cuda.get_device_name(settings["device"]))
        self.folder.update_record(
            settings=settings,
            parameters=facts["parameters"],
            images=facts["images"],
            pid=os.getpid(),
            mapped={name: split.mapped for name, split in self.parts.items()},
            reports=written(self.trainer.first.objective.reports),
            headline=self.trainer.first.objective.headline,
        )
        self.listener.started(self.folder.path, self.experiment.plan, settings, facts)
        end = Progress(
            self.trainer.epochs,
            self.trainer.first.steps_per_epoch * self.trainer.epochs - 1,
            self.trainer.first.steps_per_epoch,
            self.trainer.epochs,
        )
        coupling = coupled_by_process(self.experiment, self.trainer.workers)
        if coupling:
            self.listener.warn(coupling)
        for slot, value in self.experiment.schedule.unfinished(end).items():
            self.listener.warn(f"The schedule of {slot} is longer than the run: it ends at {slot} = {value:.3g}.")
        self._lifecycle("genzoo_run_start", folder=self.folder.path, record=self.folder.record())

    def _end(self) -> Outcome:
        with self.signals.at_once():
            self._draw(self.trainer.epochs)
            view = make_view(self.experiment, self.parts, self.folder)
            with self.trainer.shown_weights():
                self.metrics = keep(measure(self.experiment.metrics, view), self.folder)
        for key, result in self.metrics.items():
            if "error" in result:
                self.listener.warn(f"metric {key} failed: {result['error']}")
            for warning in result.get("warnings", ()):
                self.listener.warn(f"{key}: {warning}")
        row = self.last_row()
        with self.trainer.shown_weights():
            found = findings_of(self.experiment, view, row) if row else []
        told = paragraph(found)
        failed = [*self._failures(), *sorted(self._trackers)]
        code = 1 if failed else 0
        reason = f"failed: {', '.join(failed)}" if failed else "trained to the end"
        findings = [asdict(finding) for finding in found]
        self._record_end("finished", code, reason, verdict=told, findings=findings, summary=row)
        return Outcome(self.folder, row, told, self.drawn, self.metrics, code)

    def _figures_are_due(self, epoch: int) -> bool:
        """After the first epoch and then every so many; the last epoch's are drawn at the end."""
        every = self.trainer.options.viz_every
        early = epoch == 1 or (every and epoch % every == 0)
        return bool(self.experiment.visualizers and early and epoch < self.trainer.epochs)

    def _draw(self, epoch: int) -> None:
        if not self.experiment.visualizers or self._drawn_at == epoch:
            return
        view = make_view(self.experiment, self.parts, self.folder)
        with self.trainer.shown_weights():
            results = draw(self.experiment.visualizers, view, self.folder.figures, formats=self.formats)
        self.drawn.update(results)
        self._drawn_at = epoch
        self.listener.figures(results, self.folder.figures)

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
            ended=now(),
            exit_code=code,
            exit_reason=reason,
            figures={**before.get("figures", {}), **self.drawn},
            metrics={**before.get("metrics", {}), **self.metrics},
            **more,
        )
        files = [self.folder.figures / name for result in self.drawn.values() for name in result.get("files", [])]
        self._lifecycle("genzoo_run_end", folder=self.folder.path, status=status, figures=files)

    def _lifecycle(self, hook: str, **arguments: Any) -> None:
        problems: list[Problem] = self.host.call_lifecycle(hook, **arguments)
        for problem in problems:
            self._trackers.add(f"tracker {problem.distribution}")
            self.listener.warn(str(problem))


def as_genzoo(error: BaseException, *, trained: bool = True) -> GenzooError:
    """The error as one sentence with an exit code.

    Args:
        error: What was raised.
        trained: Whether a step was tried, so that smaller ones may help.
    """
    if isinstance(error, GenzooError):
        return error
    if is_out_of_memory(error):
        return GenzooError(
            "run: the device ran out of memory.",
            "Try a smaller --batch-size." if trained else "Model and images must fit; try a smaller model or --limit.",
        )
    return GenzooError(f"run: {describe(error)}.", "The traceback is in the run's run.log.")
