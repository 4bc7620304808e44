"""The training loop: one page of plain PyTorch, resumable at every step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from genzoo.compose.build import LR, Experiment
from genzoo.engine.arithmetic import full_float32
from genzoo.engine.checkpoint import load_checkpoint, read_state
from genzoo.engine.data import Loader
from genzoo.engine.evaluate import Totals, evaluate, pack
from genzoo.engine.observer import Observer, Tick
from genzoo.engine.optimizer import GuardedStep, make_optimizer
from genzoo.engine.prior_stage import PriorStage
from genzoo.engine.settings import Settings, choose
from genzoo.engine.signals import Signals, StopRequested
from genzoo.engine.workers import ALONE, Workers
from genzoo.errors import DivergedError, Interrupted, UsageError
from genzoo.interfaces.model import Model
from genzoo.interfaces.scheduler import Progress
from genzoo.randomness import derive, reseed, seeded
from genzoo.types import Context, ModelOutput, Split

POLL_STEPS = 20
"""Steps between two looks at the guard of non-finite numbers."""


@dataclass
class State:
    """Where training stands; with the weights and the optimizer it is all that a resumed run needs.

    Args:
        step: Optimizer steps taken.
        epochs_done: Epochs trained, evaluated and reported.
        step_in_epoch: Steps taken in the epoch after those.
        totals: Sums of the epoch so far.
        best_elbo, best_epoch, best_step: Best held-out elbo so far, its epoch and the number of its checkpoint.
        prior: State of the second stage, None before it.
        prior_steps: Steps of second stages that were given up because training went on.
    """

    step: int = 0
    epochs_done: int = 0
    step_in_epoch: int = 0
    totals: dict[str, Any] = field(default_factory=dict[str, Any])
    best_elbo: float | None = None
    best_epoch: int = 0
    best_step: int = 0
    prior: dict[str, Any] | None = None
    prior_steps: int = 0


class Trainer:
    """Trains an experiment.

    Args:
        experiment: What to train; its model is moved to the device.
        observer: Told of progress, epochs and checkpoints.
        splits: ``train`` and ``test``, and ``holdout`` where images are held out.
        workers: Who train together; each has a trainer of its own, and all come to the same weights and numbers.
    """

    def __init__(
        self, experiment: Experiment, observer: Observer, splits: Mapping[str, Split], workers: Workers = ALONE
    ) -> None:
        self.experiment = experiment
        self.options = experiment.plan.train
        self.observer = observer
        self.workers = workers
        self.settings: Settings = replace(choose(workers.place(self.options), experiment.model), processes=workers.size)
        self.state = State()
        self.model = experiment.model.to(self.settings.device)
        self.loss = experiment.loss.to(self.settings.device)
        if self.settings.channels_last:
            self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.loaders = {
            name: Loader(experiment.dataset, split, self.settings.device, channels_last=self.settings.channels_last)
            for name, split in splits.items()
        }
        if not len(self.loaders["train"]):
            raise UsageError("run: the training split must have at least one image, got an empty one.")
        self._optimizer = make_optimizer(self.options, [*self.model.parameters(), *self.loss.parameters()])
        self._step = GuardedStep(self._optimizer, self.options.clip_grad, workers)
        self._stage: PriorStage | None = None
        self._forward = torch.compile(self.model) if self.settings.compile else self.model
        self._totals = Totals()
        self._ticked = 0.0

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """That of the stage that training is in."""
        return self._optimizer if self._stage is None else self._stage.optimizer

    @property
    def total_steps_taken(self) -> int:
        """Optimizer steps of all stages, those given up among them; it names checkpoints and never falls."""
        return self.state.step + self.state.prior_steps + (self._stage.state.step if self._stage else 0)

    @property
    def earlier_optimizer(self) -> torch.optim.Optimizer | None:
        """That of the first stage while training is in the second."""
        return None if self._stage is None else self._optimizer

    @property
    def finished(self) -> bool:
        """Whether every epoch of every stage is done."""
        return not self._trains_on and (
            self.model.prior.fitted == "joint" or (self._stage is not None and self._stage.done)
        )

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.loaders["train"]) // self.options.batch_size)

    @property
    def epochs(self) -> int:
        """Epochs in all, fewer than asked for where ``steps`` ends training before."""
        if self.options.steps is None:
            return self.options.epochs
        return min(self.options.epochs, -(-self.options.steps // self.steps_per_epoch))

    def progress(self) -> Progress:
        """Progress at the step that comes next."""
        return Progress(self.state.epochs_done + 1, self.state.step, self.steps_per_epoch, self.epochs)

    def initialise(self) -> None:
        """Once, before the first step: let the prior see images for its pseudo-inputs."""
        loader = self.loaders["train"]
        index = loader.order(self.options.seed, 0)[:1000]
        with seeded(derive(self.options.seed, "initialise")):
            self.model.prior.initialise(loader.batch(index, training=False).image)

    def restore(self, checkpoint: Path) -> None:
        """Take the place of a checkpoint. A second stage is given up where training goes on: its prior is fitted anew.

        Raises:
            CorruptError: See `genzoo.engine.checkpoint.load_checkpoint`.
        """
        state = read_state(checkpoint)
        self.state = State(**{name: state[name] for name in State.__dataclass_fields__ if name in state})
        prior, optimizer = self.state.prior, self._optimizer
        if prior is not None:
            optimizer = None
            if self._trains_on:
                self.state.prior = None
                self.state.prior_steps += prior["step"]
            else:
                self._stage = PriorStage(self)
                self._stage.restore(prior)
                optimizer = self._stage.optimizer
        load_checkpoint(
            checkpoint, self.model, optimizer, self.loss, earlier=None if prior is None else self._optimizer
        )
        if self.state.totals:
            self._totals.restore(self.state.totals, self.settings.device)

    def snapshot(self) -> dict[str, Any]:
        """The state as JSON, for a checkpoint."""
        self.state.totals = self._totals.state() if self.state.step_in_epoch else {}
        self.state.prior = None if self._stage is None else self._stage.snapshot()
        return dict(vars(self.state))

    def fit(self, signals: Signals) -> None:
        """Train to the end.

        Raises:
            Interrupted: After a signal, once a checkpoint is saved.
            DivergedError: If a loss or gradient is not finite; the weights are those before that step.
        """
        with self.settings.fast_arithmetic(), seeded(0), self.workers.shared(signals) as signals:
            for module in (self.model, self.loss):
                self.workers.copy(module)
            try:
                while self._trains_on:
                    self._train_epoch(signals)
                    self._finish_epoch(signals)
                if self.model.prior.fitted == "after":
                    self._fit_prior(signals)
            except StopRequested as stop:
                self._check_finite()
                if self._stage is not None:
                    self._stage.check_finite()
                self.observer.save(self, best=False)
                where = f"step {self.state.step}"
                if self._stage is not None:
                    where = f"step {self._stage.state.step} of the prior's fit"
                raise Interrupted(stop.signum, f"run: stopped by signal {stop.signum} at {where}.") from None

    def _fit_prior(self, signals: Signals) -> None:
        if self._stage is None:
            self._stage = PriorStage(self)
        if not self._stage.done:
            self._stage.fit(signals)
        last = Progress(self.epochs, max(self.state.step - 1, 0), self.steps_per_epoch, self.epochs)
        values = self.experiment.schedule.at(last)
        row: dict[str, Any] = {"kind": "fitted", "epoch": self.state.epochs_done, "step": self.state.step}
        row |= {"quantities": values, "test": self._evaluate("test", values, signals, reported=True)}
        self.observer.fitted(row)

    def _train_epoch(self, signals: Signals) -> None:
        state, options, loader = self.state, self.options, self.loaders["train"]
        order = loader.order(options.seed, state.epochs_done + 1)
        self.model.train()
        self._began, self._trained = time.perf_counter(), 0
        while state.step_in_epoch < self.steps_per_epoch and state.step != options.steps:
            signals.poll()
            progress = self.progress()
            values = self.experiment.schedule.at(progress)
            self._set_lr(values[LR])
            start = state.step_in_epoch * options.batch_size
            index = order[start : start + options.batch_size]
            reseed(self.workers.seed(options.seed, "step", state.step))
            batch = loader.batch(self.workers.share(index), training=True)
            context = Context(values, len(loader))
            with self.settings.autocast():
                output = self._forward(batch, samples=self.loss.samples, context=context)
            terms = self.loss(output, batch, context)
            means = self._step(terms.objective, state.step, pack(terms), self.workers.weight(index))
            self._after_step(output)
            self._totals.add(terms, len(index), means)
            self._trained += len(index)
            state.step += 1
            state.step_in_epoch += 1
            if state.step % POLL_STEPS == 0:
                self._check_finite()
                self._tick(values)

    def _after_step(self, output: ModelOutput) -> None:
        """What the model does after a step. Of several workers each does it on its share, so that a model may sum over
        them, and what the first one comes to counts.
        """
        self.model.after_step(output)
        if type(self.model).after_step is not Model.after_step:
            self.workers.copy(self.model)

    def _finish_epoch(self, signals: Signals) -> None:
        self._check_finite()
        for module in (self.model, self.loss):
            self.workers.copy(module, buffers_only=True)
        state = self.state
        seconds = time.perf_counter() - self._began
        last = Progress(state.epochs_done + 1, max(state.step - 1, 0), self.steps_per_epoch, self.epochs)
        values = self.experiment.schedule.at(last)
        row: dict[str, Any] = {
            "kind": "epoch",
            "epoch": state.epochs_done + 1,
            "step": state.step,
            "quantities": values,
            "train": self._totals.means(),
        }
        if self._has("holdout"):
            row["holdout"] = self._evaluate("holdout", values, signals, reported=False)
        best = self._is_best(row)
        epoch = state.epochs_done + 1
        last_epoch = epoch == self.epochs or (not best and self._out_of_patience(epoch))
        if self._has("test") and (epoch == 1 or last_epoch or epoch % self.options.eval_every == 0):
            row["test"] = self._evaluate("test", values, signals, reported=last_epoch)
            row["test_precision"] = "fp32" if last_epoch else self.settings.precision
        row["seconds"] = round(seconds, 3)
        row["images_per_second"] = round(self._trained / seconds, 1) if self._trained else None
        if best:
            state.best_elbo, state.best_epoch = row["holdout"]["elbo"], epoch
            state.best_step = self.total_steps_taken
        self.observer.epoch(row)
        state.epochs_done = epoch
        state.step_in_epoch = 0
        self._totals = Totals()
        if best or last_epoch or epoch % self.options.checkpoint_every == 0:
            self.observer.save(self, best=best)
        self.observer.epoch_over(self, row)

    def _has(self, split: str) -> bool:
        return split in self.loaders and len(self.loaders[split]) > 0

    def _evaluate(self, split: str, values: Mapping[str, float], signals: Signals, *, reported: bool) -> dict[str, Any]:
        """Means over a split: the reported ones in float32; those that a curve or a choice is made of in the run's
        precision, which keeps them a twentieth of an epoch.
        """
        means = evaluate(
            self.model,
            self.loss,
            self.loaders[split],
            Context(values, len(self.loaders["train"])),
            seed=self.options.seed,
            batch_size=self.options.eval_batch_size,
            poll=signals.poll,
            workers=self.workers,
            arithmetic=full_float32 if reported else self.settings.autocast,
        )
        if not math.isfinite(means["objective"]):
            raise DivergedError(
                f"run: the loss's {_not_finite(means)} must be finite, got a value that is not on the {split} split "
                f"after step {self.state.step}.",
                "The weights are finite and the last checkpoint is kept; try a lower --lr, and look at that split's "
                "images for what the likelihood cannot take.",
            )
        return means

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        elbo = row["holdout"]["elbo"] if "holdout" in row else None
        return elbo is not None and (self.state.best_elbo is None or elbo > self.state.best_elbo)

    @property
    def _trains_on(self) -> bool:
        return self.state.epochs_done < self.epochs and not self._out_of_patience()

    def _out_of_patience(self, epochs_done: int | None = None) -> bool:
        patience = self.options.patience
        if patience is None or self.state.best_elbo is None:
            return False
        done = self.state.epochs_done if epochs_done is None else epochs_done
        return done - self.state.best_epoch >= patience

    def _set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _check_finite(self) -> None:
        step = self._step.first_bad_step()
        if step is None:
            return
        bad = _not_finite(self._totals.means())
        source = f"the loss's {bad}" if bad else "a gradient"
        raise DivergedError(
            f"run: {source} must be finite, got a value that is not at step {step}, epoch {self.state.epochs_done + 1}.",
            "That step was not taken and the last checkpoint is kept; try a lower --lr or --clip-grad 1.",
        )

    def _tick(self, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if now - self._ticked < 0.25:
            return
        self._ticked = now
        rate = self._trained / max(now - self._began, 1e-9)
        self.observer.tick(
            Tick(
                self.state.epochs_done + 1,
                self.epochs,
                self.state.step_in_epoch,
                self.steps_per_epoch,
                rate,
                values,
                self._totals.means(),
            )
        )


def _not_finite(means: Mapping[str, Any]) -> str:
    """Names of the numbers that are not finite, the objective's own only where no other is to blame."""
    named = [("distortion", means["distortion"]), ("rate", means["rate"]), *means["terms"].items()]
    bad = list(dict.fromkeys(name for name, value in named if not math.isfinite(value)))
    return ", ".join(bad) or ("" if math.isfinite(means["objective"]) else "objective")
