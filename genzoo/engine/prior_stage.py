"""The second stage of a run: a prior that is fitted to the latents of a trained model.

Its state lies beside the first stage's, so that it is interrupted and resumed in the same way. Several processes share
each step; each of them encodes all images and evaluates all codes for itself.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Loader
from genzoo.engine.optimizer import GuardedStep
from genzoo.engine.signals import Signals
from genzoo.errors import DivergedError
from genzoo.randomness import derive, reseed, seeded

if TYPE_CHECKING:
    from genzoo.engine.train import Trainer


@dataclass
class PriorState:
    """Where the second stage stands.

    Args:
        step: Optimizer steps taken.
        epochs_done: Epochs over the latents that are finished.
        step_in_epoch: Steps taken in the epoch after those.
        total: Sum of −log p(z) over this epoch's images so far, in nats.
    """

    step: int = 0
    epochs_done: int = 0
    step_in_epoch: int = 0
    total: float = 0.0


class PriorStage:
    """Minimises `Prior.nll` over the top-level latents of the training images.

    Args:
        trainer: Whose model is trained; its data, options and observer are used.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.prior = trainer.model.prior
        self.state = PriorState()
        parameters = [p for p in self.prior.parameters() if p.requires_grad]
        device = trainer.settings.device
        self.optimizer = torch.optim.Adam(parameters, lr=self.prior.fit_lr, fused=device == "cpu" or "cuda" in device)
        self._step = GuardedStep(self.optimizer, None, trainer.workers)
        self._total = torch.zeros((), dtype=torch.float32 if device == "mps" else torch.float64, device=device)

    @property
    def done(self) -> bool:
        return self.state.epochs_done >= self.prior.fit_epochs

    def snapshot(self) -> dict[str, Any]:
        self.state.total = float(self._total)
        return dict(vars(self.state))

    def restore(self, state: dict[str, Any]) -> None:
        self.state = PriorState(**state)
        self._total.fill_(self.state.total)

    def fit(self, signals: Signals) -> None:
        """Fit to the end; raises as `Trainer.fit` does."""
        train = self._codes("train", signals)
        test = self._codes("test", signals)
        while not self.done:
            self._epoch(train, test, signals)

    def _epoch(self, train: Codes, test: Codes, signals: Signals) -> None:
        trainer, state, size = self._trainer, self.state, self._trainer.options.batch_size
        workers = trainer.workers
        generator = torch.Generator().manual_seed(derive(trainer.options.seed, "prior", state.epochs_done + 1))
        order = torch.randperm(len(train), generator=generator).to(train.latents.device)
        began = time.perf_counter()
        self.prior.train()
        while state.step_in_epoch * size < len(train):
            signals.poll()
            reseed(workers.seed(trainer.options.seed, "prior", "step", state.step))
            index = order[state.step_in_epoch * size : (state.step_in_epoch + 1) * size]
            share = workers.share(index)
            with trainer.settings.autocast():
                nll = self.prior.nll(train.latents[share], train.label(share))
            objective = nll.float().mean()
            values = self._step(objective, state.step, objective.detach().reshape(1), workers.weight(index))
            self._total.add_(values[0], alpha=len(index))
            state.step += 1
            state.step_in_epoch += 1
            if state.step % 50 == 0:
                self.check_finite()
        self.check_finite()
        self.prior.eval()
        row = {
            "kind": "prior",
            "epoch": trainer.state.epochs_done,
            "prior_epoch": state.epochs_done + 1,
            "step": state.step,
            "train": {"nll": float(self._total) / len(train)},
            "test": {"nll": self._mean_nll(test, signals)},
            "seconds": round(time.perf_counter() - began, 3),
        }
        state.epochs_done += 1
        state.step_in_epoch = 0
        self._total.zero_()
        trainer.observer.prior_epoch(row, self.prior.fit_epochs)
        trainer.observer.save(trainer, best=False)
        trainer.observer.epoch_over(trainer, row)

    @torch.no_grad()
    def _mean_nll(self, codes: Codes, signals: Signals) -> float:
        total = 0.0
        with full_float32(), seeded(derive(self._trainer.options.seed, "prior", "evaluate")):
            for start in range(0, len(codes), self._trainer.options.eval_batch_size):
                signals.poll()
                index = slice(start, start + self._trainer.options.eval_batch_size)
                total += float(self.prior.nll(codes.latents[index], codes.label(index)).double().sum())
        if not math.isfinite(total):
            raise DivergedError(
                "run: the prior's −log p(z) must be finite, got a value that is not on the test split after step "
                f"{self.state.step} of its fit.",
                "The last checkpoint is kept; try a lower --prior.lr.",
            )
        return total / len(codes)

    @torch.no_grad()
    def _codes(self, split: str, signals: Signals) -> Codes:
        """One seeded posterior sample an image, a pure function of the trained model and the seed."""
        trainer = self._trainer
        loader: Loader = trainer.loaders[split]
        trainer.model.eval()
        found: list[Tensor] = []
        for number, index in enumerate(loader.slices(trainer.options.eval_batch_size)):
            signals.poll()
            with full_float32(), seeded(derive(trainer.options.seed, "codes", split, number)):
                found.append(trainer.model.encode(loader.batch(index, training=False)).latents[0].sample[0])
        return Codes(torch.cat(found), loader.split.labels)

    def check_finite(self) -> None:
        """Refuse to go on after a step that was not taken.

        Raises:
            DivergedError: If −log p(z) or its gradient was not finite.
        """
        step = self._step.first_bad_step()
        if step is not None:
            raise DivergedError(
                f"run: the prior's −log p(z) or its gradient must be finite, got a value that is not at step {step} "
                "of its fit.",
                "That step was not taken and the last checkpoint is kept; try a lower --prior.lr.",
            )


@dataclass(frozen=True)
class Codes:
    """Top-level latents ``[N, *event]`` of a split, with labels ``[N]`` where there are any."""

    latents: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return self.latents.shape[0]

    def label(self, index: Tensor | slice) -> Tensor | None:
        return None if self.labels is None else self.labels[index]
