"""One stage of training: an objective and its players over some epochs; one page of plain PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genzoo.compose.build import LR
from genzoo.compose.schedule import Schedule
from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Batches
from genzoo.engine.evaluate import Totals, evaluate, not_finite, numbers, pack
from genzoo.engine.listener import Tick
from genzoo.engine.optimizer import Guard, GuardedStep, make_optimizer
from genzoo.engine.signals import Signals
from genzoo.engine.static_steps import StaticSteps, unfit
from genzoo.errors import DivergedError, UsageError
from genzoo.interfaces.generator import Generator
from genzoo.interfaces.objective import Objective, Player, Terms
from genzoo.interfaces.scheduler import Progress
from genzoo.randomness import reseed
from genzoo.recipe import TrainOptions
from genzoo.types import Context

if TYPE_CHECKING:
    from genzoo.engine.train import Trainer

POLL_STEPS = 20
"""Steps between two looks at the guard of non-finite numbers."""


@dataclass
class StageState:
    """Where a stage stands.

    Args:
        step: Steps taken.
        epochs_done: Epochs trained, evaluated and reported.
        step_in_epoch: Steps taken in the epoch after those.
        totals: Player → sums of the epoch so far.
        best_value, best_epoch, best_step: Best held-out headline so far, its epoch and the number of its checkpoint.
    """

    step: int = 0
    epochs_done: int = 0
    step_in_epoch: int = 0
    totals: dict[str, Any] = field(default_factory=dict[str, Any])
    best_value: float | None = None
    best_epoch: int = 0
    best_step: int = 0


@dataclass(frozen=True)
class StagePlan:
    """What a stage is.

    Args:
        name: ``"train"`` or ``"prior"``; it names the stage in messages.
        objective: What is minimised.
        epochs: Passes over the training images.
        schedule: Values of the scheduled quantities over the stage's own progress.
        module: What is put in training mode; the rest of the model is in evaluation mode.
        first: Whether it is the run's first stage, whose rows are of kind ``"epoch"``, and whose streams of order and
            noise are those of every run.
        steps: Ends the stage after this many steps, if not None.
    """

    name: str
    objective: Objective
    epochs: int
    schedule: Schedule
    module: nn.Module
    first: bool = True
    steps: int | None = None


class Turn:
    """A player with its optimizer and its sums."""

    def __init__(self, player: Player, step: GuardedStep) -> None:
        self.player, self.step, self.totals = player, step, Totals()

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.step.optimizer


class Stage:
    """Trains one stage of an experiment.

    Args:
        trainer: Of which it is a stage; its model, options, settings, workers and listener are used.
        plan: What the stage is.
        loaders: Split → its batches.
        state: Where it stands.
    """

    def __init__(self, trainer: Trainer, plan: StagePlan, loaders: Mapping[str, Batches], state: StageState) -> None:
        self.trainer, self.plan, self.loaders, self.state = trainer, plan, loaders, state
        self.options, self.workers, self.settings = trainer.options, trainer.workers, trainer.settings
        self.model: Generator = trainer.model
        self.objective = plan.objective
        players = self.objective.players(self.model)
        guard = Guard(torch.device(self.settings.device), [player.every for player in players])
        self.turns = {
            player.name: Turn(
                player,
                GuardedStep(
                    make_optimizer(
                        self.options,
                        player.parameters,
                        player.betas,
                        "there" if len(players) == 1 else f"the player {player.name}",
                    ),
                    self.options.clip_grad,
                    self.workers,
                    guard,
                    alone=len(players) == 1,
                ),
            )
            for player in players
        }
        self._refuse_unused_lr()
        self._guard = guard
        self.forward = torch.compile(self.model) if self.settings.compile else self.model
        self.static = self._make_static()
        self._told = False
        self._ticked = 0.0
        if self.objective.headline is None and (self.options.holdout or self.options.patience):
            raise UsageError(
                f"run: --holdout and --patience must be left out with {type(self.objective).__name__}, which has no "
                "number that tells a better epoch."
            )

    def _refuse_unused_lr(self) -> None:
        used = {turn.player.lr for turn in self.turns.values()}
        asked = self.options.lr != TrainOptions.model_fields["lr"].default or LR in self.plan.schedule.schedulers
        if LR not in used and asked:
            raise UsageError(
                f"run: --lr and a scheduler of lr must be left out with {type(self.objective).__name__}, whose learning "
                f"rates are {', '.join(sorted(used))}.",
                "Set them as options of the loss, and drive them by --scheduler SLOT=NAME.",
            )

    # Where it stands.

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.loaders["train"]) // self.options.batch_size)

    @property
    def epochs(self) -> int:
        """Epochs in all, fewer than asked for where ``steps`` ends the stage before."""
        if self.plan.steps is None:
            return self.plan.epochs
        return min(self.plan.epochs, -(-self.plan.steps // self.steps_per_epoch))

    @property
    def trains_on(self) -> bool:
        """Whether there is an epoch left."""
        return self.state.epochs_done < self.epochs and not self._out_of_patience(self.state.epochs_done)

    @property
    def last_progress(self) -> Progress:
        """Progress at the last step taken in the current epoch."""
        return Progress(
            min(self.state.epochs_done + 1, self.epochs), max(self.state.step - 1, 0), self.steps_per_epoch, self.epochs
        )

    def snapshot(self) -> dict[str, Any]:
        """The state as JSON, for a checkpoint."""
        sums = {name: turn.totals.state() for name, turn in self.turns.items()}
        self.state.totals = sums if self.state.step_in_epoch else {}
        return dict(vars(self.state))

    def restore_totals(self) -> None:
        """Continue the sums of the epoch that the state was saved in."""
        totals = self.state.totals
        if "sums" in totals:  # genzoo 0.1 had one player.
            totals = {next(iter(self.turns)): totals}
        for name, state in totals.items():
            self.turns[name].totals.restore(state, self.settings.device)

    # Training.

    def fit(self, signals: Signals) -> None:
        """Train to the end of the stage."""
        while self.trains_on:
            self.train_epoch(signals)
            self._finish_epoch(signals)

    def train_epoch(self, signals: Signals) -> None:
        """Take the steps that are left of the current epoch."""
        state, options, loader = self.state, self.options, self.loaders["train"]
        order = loader.order(options.seed, state.epochs_done + 1, "order" if self.plan.first else self.plan.name)
        self.model.eval()
        self.plan.module.train()
        self.objective.train()
        self._began, self._trained = time.perf_counter(), 0
        steps = self._steps_left()
        if self.static is not None:
            self.static.begin(order, steps, self._values)
        for step in steps:
            signals.poll()
            start = step * options.batch_size
            if self.static is not None and step < self.static.steps:
                self.static.take()
            else:
                self._step(order[start : start + options.batch_size], self._values(step))
            self._trained += min(options.batch_size, len(loader) - start)
            state.step += 1
            state.step_in_epoch += 1
            if state.step % POLL_STEPS == 0:
                self.check_finite()
                self._tick(self._values(step))
        self._tell_why_not_static()

    def _steps_left(self) -> range:
        """The steps of the current epoch that are not taken yet."""
        first, last = self.state.step_in_epoch, self.steps_per_epoch
        if self.plan.steps is not None:
            last = min(last, first + self.plan.steps - self.state.step)
        return range(first, last)

    def _values(self, step: int) -> dict[str, float]:
        """The scheduled quantities at a step of the current epoch."""
        state = self.state
        taken = state.step - state.step_in_epoch + step
        return self.plan.schedule.at(Progress(state.epochs_done + 1, taken, self.steps_per_epoch, self.epochs))

    def _make_static(self) -> StaticSteps | None:
        if not self.settings.cuda_graphs or unfit(self) is not None:
            return None
        return StaticSteps(self, capture=self.settings.device.startswith("cuda"))

    def _tell_why_not_static(self) -> None:
        """Once, on a device whose steps would be replayed as graphs."""
        if self._told or not self.settings.cuda_graphs:
            return
        reason = self.static.reason if self.static is not None else unfit(self)
        if reason is not None:
            self._told = True
            self.trainer.listener.note(f"Steps are not replayed as CUDA graphs: {reason}.")

    def _step(self, index: Tensor, values: Mapping[str, float]) -> None:
        """One step of every player whose turn it is; see `genzoo.interfaces.objective`."""
        step, workers = self.state.step, self.workers
        self.reseed(step)
        batch = self.loaders["train"].batch(workers.share(index), training=True)
        context = Context(values, len(self.loaders["train"]), self.settings.autocast)
        report: dict[str, Tensor] = {}
        output: Any = None
        for number, (name, turn) in enumerate(self.turns.items()):
            if step % turn.player.every:
                continue
            if number:
                self.reseed(step, name)
            for group in turn.optimizer.param_groups:
                group["lr"] = values[turn.player.lr]
            terms: Terms = self.objective.step(self.forward, batch, context, name)
            means = turn.step(terms.objective, step, pack(terms), workers.weight(index))
            turn.totals.add(terms, len(index), means)
            output = terms.output if output is None else output
            if self._follows_report:
                report |= turn.totals.unpack(means)
        if output is not None:
            self._after_step(output)
        if self._follows_report:
            self.objective.after_step(report)
        if self.trainer.averages is not None:
            self.trainer.averages.update(step)

    def reseed(self, step: int, *player: str) -> None:
        stream = ("step",) if self.plan.first else (self.plan.name, "step")
        reseed(self.workers.seed(self.options.seed, *stream, step, *player))

    @property
    def _follows_report(self) -> bool:
        return type(self.objective).after_step is not Objective.after_step

    def _after_step(self, output: Any) -> None:
        """What the model does after a step. Each worker does it on its share, so that a model may sum over them, and the
        first one's result counts.
        """
        self.model.after_step(output)
        if type(self.model).after_step is not Generator.after_step:
            self.workers.copy(self.model)

    def _finish_epoch(self, signals: Signals) -> None:
        self.check_finite()
        for module in (self.model, self.objective):
            self.workers.copy(module, buffers_only=True)
        state, trainer = self.state, self.trainer
        seconds = time.perf_counter() - self._began
        values = self.plan.schedule.at(self.last_progress)
        epoch = state.epochs_done + 1
        row = trainer.row_head(self, epoch)
        row |= {"quantities": values, "train": self.means()}
        if self._has("holdout"):
            row["holdout"] = self._evaluate("holdout", values, signals, reported=False)
        best = self._is_best(row)
        last = epoch == self.epochs or (not best and self._out_of_patience(epoch))
        if self._has("test") and (epoch == 1 or last or epoch % self.options.eval_every == 0):
            row["test"] = self._evaluate("test", values, signals, reported=last)
            row["test_precision"] = "fp32" if last else self.settings.precision
        row["seconds"] = round(seconds, 3)
        row["images_per_second"] = round(self._trained / seconds, 1) if self._trained else None
        if best and self.objective.headline:
            state.best_value, state.best_epoch = row["holdout"][self.objective.headline[0]], epoch
            state.best_step = trainer.total_steps_taken
        trainer.listener.epoch(row, self)
        state.epochs_done = epoch
        state.step_in_epoch = 0
        for turn in self.turns.values():
            turn.totals.clear()
        if best or last or epoch % self.options.checkpoint_every == 0:
            trainer.listener.save(trainer, best=best)
        trainer.listener.epoch_over(trainer, row)

    def means(self) -> dict[str, Any]:
        """The training numbers of the epoch so far."""
        return numbers(self.objective, {name: turn.totals for name, turn in self.turns.items()})

    def _has(self, split: str) -> bool:
        return split in self.loaders and len(self.loaders[split]) > 0

    def _evaluate(self, split: str, values: Mapping[str, float], signals: Signals, *, reported: bool) -> dict[str, Any]:
        """Means over a split: the reported ones in float32; those that a curve or a choice is made of in the run's
        precision, which keeps them a twentieth of an epoch.
        """
        with self.trainer.shown_weights():
            means = evaluate(
                self.model,
                self.objective,
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
                f"run: {self._whose} {not_finite(means, math.isfinite)} is NaN or infinite on the {split} split after "
                f"step {self.state.step}.",
                "The weights are finite and the last checkpoint is kept; try a lower --lr, and look for images of that "
                "split that the likelihood cannot take.",
            )
        return means

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        if "holdout" not in row or self.objective.headline is None:
            return False
        name, better = self.objective.headline
        value, best = row["holdout"][name], self.state.best_value
        return best is None or (value > best if better == "higher" else value < best)

    def _out_of_patience(self, epochs_done: int) -> bool:
        patience = self.options.patience
        return (
            patience is not None
            and self.state.best_value is not None
            and epochs_done - self.state.best_epoch >= patience
        )

    @property
    def _whose(self) -> str:
        return "the loss's" if self.plan.name == "train" else "the prior's"

    def check_finite(self) -> None:
        """Refuse to continue after a step that was not taken.

        Raises:
            DivergedError: If a loss or gradient was NaN or infinite.
        """
        step = self._guard.first_bad_step()
        if step is None:
            return
        bad = not_finite(self.means(), math.isfinite)
        fit = "" if self.plan.name == "train" else " of its fit"
        source = f"{self._whose} {bad}" if bad else "a gradient"
        raise DivergedError(
            f"run: {source} became NaN or infinite at step {step} (epoch {self.state.epochs_done + 1}){fit}.",
            "That step was not taken and the last checkpoint is kept; try a lower --lr or --clip-grad 1.",
        )

    def _tick(self, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if now - self._ticked < 0.25:
            return
        self._ticked = now
        state = self.state
        rate = self._trained / max(now - self._began, 1e-9)
        where = (state.epochs_done + 1, self.epochs, state.step_in_epoch, self.steps_per_epoch)
        self.trainer.listener.tick(Tick(*where, rate, values, self.means(), self.objective.reports, self.plan.name))
