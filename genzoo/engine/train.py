"""The stages of a run in their order, resumable at every step of each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo.compose.build import LR, Experiment
from genzoo.compose.schedule import Schedule
from genzoo.engine.arithmetic import full_float32
from genzoo.engine.averages import Averages
from genzoo.engine.checkpoint import load_checkpoint, load_optimizers, read_state
from genzoo.engine.data import Batches, Loader
from genzoo.engine.evaluate import evaluate
from genzoo.engine.fitting import FitPrior, can_be_kept, codes_of
from genzoo.engine.listener import Listener
from genzoo.engine.settings import Settings, choose
from genzoo.engine.signals import Signals, StopRequested
from genzoo.engine.stage import Stage, StagePlan, StageState
from genzoo.engine.tensor_files import stored_tensors
from genzoo.engine.workers import ALONE, Workers
from genzoo.errors import Interrupted, UsageError
from genzoo.interfaces.generator import LatentGenerator
from genzoo.interfaces.prior import Prior
from genzoo.randomness import derive, seeded
from genzoo.types import Context, Split

EARLIER = ("earlier-weights", "earlier-averages")
"""What a second stage's checkpoints keep of the first one, where the second began from other weights."""


@dataclass
class State(StageState):
    """Where training stands: the first stage's state, and what came after it.

    Args:
        prior: State of the second stage, None before it.
        prior_steps: Steps of second stages that were given up because training continued.
    """

    prior: dict[str, Any] | None = None
    prior_steps: int = 0


class Trainer:
    """Trains an experiment.

    Args:
        experiment: What to train; its model is moved to the device.
        listener: Told of progress, epochs and checkpoints.
        splits: ``train`` and ``test``, and ``holdout`` where images are held out.
        workers: Who train together; each has a trainer of its own, and all reach the same weights and numbers.
        settings: Device, precision and the like where they are chosen already.
    """

    def __init__(
        self,
        experiment: Experiment,
        listener: Listener,
        splits: Mapping[str, Split],
        workers: Workers = ALONE,
        settings: Settings | None = None,
    ) -> None:
        self.experiment = experiment
        self.options = experiment.plan.train
        self.listener = listener
        self.workers = workers
        settings = settings or choose(workers.place(self.options), experiment.model)
        self.settings: Settings = replace(settings, processes=workers.size)
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
        self.averages = None if self.options.ema is None else Averages(self.model, self.options.ema)
        self._earlier: dict[str, Mapping[str, Tensor]] = {}
        self.first = Stage(self, self._plan(first=True), self._loaders(first=True), State())
        self.second: Stage | None = None

    # The stages.

    @property
    def state(self) -> State:
        """That of the whole run."""
        assert isinstance(self.first.state, State)
        return self.first.state

    @property
    def stage(self) -> Stage:
        """The one that training is in."""
        return self.second or self.first

    @property
    def stages(self) -> int:
        """How many there are."""
        return 2 if self._fits_after and self._body_trains else 1

    @property
    def epochs(self) -> int:
        """Epochs of the first stage."""
        return self.first.epochs

    @property
    def fit_epochs(self) -> int:
        """Epochs of the second stage, 0 where there is none."""
        if self.stages == 1 or self._prior is None:
            return 0
        return self._prior.fit_epochs or max(1, round(self.options.epochs / 3))

    @property
    def total_steps_taken(self) -> int:
        """Steps of all stages, those given up among them; it names checkpoints and never falls."""
        return self.state.step + self.state.prior_steps + (self.second.state.step if self.second else 0)

    @property
    def best_step(self) -> int:
        """Number of the best checkpoint of the present stage, or else of the one before, 0 where none was chosen."""
        return self.stage.state.best_step or self.state.best_step

    @property
    def finished(self) -> bool:
        """Whether every epoch of every stage is done."""
        if self.first.trains_on:
            return False
        return self.stages == 1 or (self.second is not None and not self.second.trains_on)

    @property
    def _prior(self) -> Prior | None:
        return self.model.prior if isinstance(self.model, LatentGenerator) else None

    @property
    def _fits_after(self) -> bool:
        """Whether the prior has a stage of its own."""
        return self._prior is not None and self.experiment.fits_prior_after

    @property
    def _body_trains(self) -> bool:
        """Whether the model has parameters to train beside its prior's."""
        prior = set() if self._prior is None else set(self._prior.parameters())
        return any(p.requires_grad and p not in prior for p in self.model.parameters())

    def _plan(self, *, first: bool) -> StagePlan:
        schedule, prior = self.experiment.schedule, self._prior
        if prior is None or not self._fits_after or (first and self._body_trains):
            if prior is not None and self._fits_after and prior.fitted == "joint":
                prior.requires_grad_(False)
            return StagePlan("train", self.loss, self.options.epochs, schedule, self.model, steps=self.options.steps)
        prior.requires_grad_(True)
        objective = FitPrior(prior, coded=can_be_kept(self.experiment.model, self.experiment.dataset))
        lr = self.options.lr if prior.fit_lr is None else prior.fit_lr
        drives = {slot: schedulers for slot, schedulers in schedule.schedulers.items() if slot == LR}
        values = Schedule({LR: lr}, drives)
        if first:
            return StagePlan("prior", objective, self.options.epochs, values, prior, steps=self.options.steps)
        return StagePlan("prior", objective, self.fit_epochs, values, prior, first=False)

    def _loaders(self, *, first: bool) -> Mapping[str, Batches]:
        fits = self._fits_after and not (first and self._body_trains)
        if not fits or not can_be_kept(self.experiment.model, self.experiment.dataset):
            return self.loaders
        options = self.options
        return {
            name: codes_of(
                self.experiment.model, name, loader, seed=options.seed, batch_size=options.eval_batch_size,
                poll=lambda: None,
            )
            for name, loader in self.loaders.items()
        }  # fmt: skip

    def _enter_second(self) -> Stage:
        """Begin the second stage, from the first one's best or averaged weights where there are any."""
        # The first process alone knows the run folder; all must begin from the same weights.
        best = self.workers.tell(self.listener.best_checkpoint() if self.state.best_step else None)
        averages = self.averages
        if best is not None or averages is not None:
            self._earlier = {"earlier-weights": _copies(self.model.state_dict())}
        if averages is not None:
            self._earlier["earlier-averages"] = _copies(averages.tensors)
        if best is not None:
            load_checkpoint(best, self.model)
        if averages is not None:
            averages.load({} if best is None else stored_tensors(best, "averages"))
            averages.apply()
        return self._second(StageState())

    def _second(self, state: StageState) -> Stage:
        return Stage(self, self._plan(first=False), self._loaders(first=False), state)

    # Saving and restoring.

    def snapshot(self) -> dict[str, Any]:
        """The state as JSON, for a checkpoint."""
        self.state.prior = None if self.second is None else self.second.snapshot()
        return self.first.snapshot()

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """File name → those of the present stage's players and, in a second stage, of the first one's."""
        return _by_file("optimizer", self.stage) | (_by_file("earlier", self.first) if self.second else {})

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """File name → what a checkpoint keeps beside modules and optimizers: averages, and what the first stage would
        continue from."""
        averages = {} if self.averages is None else {"averages": self.averages.tensors}
        return averages | (self._earlier if self.second else {})

    def restore(self, checkpoint: Path) -> None:
        """Return to a checkpoint. A second stage is given up where training continues: its prior is fitted again.

        Raises:
            CorruptError: See `genzoo.engine.checkpoint.load_checkpoint`.
        """
        state = read_state(checkpoint)
        if "best_elbo" in state:  # genzoo 0.1 knew losses alone.
            state["best_value"] = state["best_elbo"]
        self.first.state = State(**{name: state[name] for name in State.__dataclass_fields__ if name in state})
        load_checkpoint(checkpoint, self.model, loss=self.loss)
        averages = stored_tensors(checkpoint, "averages")
        prior, stem = self.state.prior, "optimizer"
        if prior is not None:
            self._earlier = {name: stored_tensors(checkpoint, name) for name in EARLIER}
            self._earlier = {name: tensors for name, tensors in self._earlier.items() if tensors}
            stem = "earlier"
            if self.first.trains_on:
                self.state.prior = None
                self.state.prior_steps += prior["step"]
                self.model.load_state_dict(self._earlier.get(EARLIER[0], {}), strict=False)
                averages = self._earlier.get(EARLIER[1], averages)
            else:
                self.second = self._second(
                    StageState(**{name: prior[name] for name in StageState.__dataclass_fields__ if name in prior})
                )
                load_optimizers(checkpoint, _by_file("optimizer", self.second), self.model, self.loss)
                self.second.restore_totals()
        load_optimizers(checkpoint, _by_file(stem, self.first), self.model, self.loss)
        self.first.restore_totals()
        if self.averages is not None:
            self.averages.load(averages)

    # Training.

    def initialise(self) -> None:
        """Once, before the first step: let the prior see images for its pseudo-inputs."""
        if self._prior is None:
            return
        loader = self.loaders["train"]
        index = loader.order(self.options.seed, 0)[:1000]
        with seeded(derive(self.options.seed, "initialise")):
            self._prior.initialise(loader.batch(index, training=False).image)

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
                self.first.fit(signals)
                if self.stages == 2:
                    if self.second is None:
                        self.second = self._enter_second()
                    self.second.fit(signals)
                if self._fits_after:
                    self._measure_fitted(signals)
            except StopRequested as stop:
                self.stage.check_finite()
                self.listener.save(self, best=False)
                where = f"step {self.stage.state.step}" + (" of the prior's fit" if self.second else "")
                raise Interrupted(stop.signum, f"run: stopped by signal {stop.signum} at {where}.") from None

    def _measure_fitted(self, signals: Signals) -> None:
        """The loss on test images, now that the prior is fitted, where the prior has a density, or a bound on it."""
        assert self._prior is not None
        if self._prior.density not in ("exact", "bound"):
            return
        values = self.experiment.schedule.at(self.first.last_progress)
        with self.shown_weights():
            test = evaluate(
                self.model,
                self.loss,
                self.loaders["test"],
                Context(values, len(self.loaders["train"])),
                seed=self.options.seed,
                batch_size=self.options.eval_batch_size,
                poll=signals.poll,
                workers=self.workers,
                arithmetic=full_float32,
            )
        row = {
            "kind": "fitted",
            "epoch": self.state.epochs_done,
            "step": self.state.step,
            "density": self._prior.density,
        }
        self.listener.fitted({**row, "quantities": values, "test": test})

    def row_head(self, stage: Stage, epoch: int) -> dict[str, Any]:
        """How a stage's row begins; epochs and steps of a second stage run on."""
        if stage.plan.first:
            return {"kind": "epoch", "epoch": epoch, "step": stage.state.step}
        steps = self.state.step + stage.state.step
        return {"kind": "prior", "epoch": self.state.epochs_done + epoch, "prior_epoch": epoch, "step": steps}

    def shown_weights(self) -> AbstractContextManager[None]:
        """The model with the weights that are measured, drawn and exported: the averaged ones where there are any."""
        return nullcontext() if self.averages is None else self.averages.swapped_in()


def _by_file(stem: str, stage: Stage) -> dict[str, torch.optim.Optimizer]:
    """File name → optimizer of each player; the first one's file has the stem's name alone."""
    return {
        f"{stem}-{name}" if number else stem: turn.optimizer for number, (name, turn) in enumerate(stage.turns.items())
    }


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}
