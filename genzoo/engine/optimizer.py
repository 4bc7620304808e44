"""Optimizers by name, and a step that leaves the weights alone when a loss or gradient is not finite."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from genzoo.engine.workers import ALONE, Workers
from genzoo.errors import UsageError
from genzoo.recipe import TrainOptions

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def make_optimizer(
    train: TrainOptions,
    parameters: Iterable[nn.Parameter],
    betas: tuple[float, float] | None = None,
    whose: str = "there",
) -> torch.optim.Optimizer:
    """The optimizer that the options name, fused where torch has a fused one.

    Args:
        train: Names it; learning rate and weight decay.
        parameters: Those without a gradient are left out.
        betas: Adam's; an optimizer that has none does without.
        whose: Whose they are, for the refusal.

    Raises:
        UsageError: If no parameter takes a gradient.
    """
    kind = _CLASSES[train.optimizer]
    takes = inspect.signature(kind).parameters
    more: dict[str, Any] = {"fused": True} if "fused" in takes else {}
    if betas is not None and "betas" in takes:
        more["betas"] = betas
    trained = [p for p in parameters if p.requires_grad]
    if not trained:
        raise UsageError(
            f"run: {whose} must {'be' if whose == 'there' else 'have'} parameters to train, got none.",
            "Choose a model, a prior or a loss that has some, or fit a prior (`genzoo list prior`).",
        )
    return kind(trained, lr=train.lr, weight_decay=train.weight_decay, **more)  # pyright: ignore[reportCallIssue]


class Guard:
    """The flag of non-finite numbers that the players of a stage share, kept on the device so that no step waits for it.

    Once a turn was bad, all later ones are skipped too, until `first_bad_step` is read and the run stops.

    Args:
        device: Where the flag is kept.
        every: Each player's ``every``, in the order of their turns.
    """

    def __init__(self, device: torch.device, every: Sequence[int] = (1,)) -> None:
        self._every = tuple(every)
        self.bad = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)
        self._good = torch.zeros((), dtype=torch.int64, device=device)
        self._first: int | None = None

    def begin(self, step: int) -> None:
        """Note the step of the first turn."""
        self._first = step if self._first is None else self._first

    def look_at(self, tensors: list[Tensor]) -> None:
        """Note in ``bad`` whether one of them is not finite; what was bad before stays so."""
        if self.bad.device.type == "mps":
            finite = torch.isfinite(torch.stack([tensor.sum() for tensor in tensors]).sum())
            self.bad.copy_(torch.maximum(self.bad, (~finite).to(self.bad.dtype)))
            return
        # One pass over all of them, as torch's own GradScaler makes it; it multiplies by one on the way.
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            torch._amp_foreach_non_finite_check_and_unscale_(alike, self.bad, self._one)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def end(self) -> None:
        """Count the turn if nothing was bad up to now."""
        self._good.add_(self.bad == 0)

    def first_bad_step(self) -> int | None:
        """The step at which a loss or gradient was first not finite; waits for the device."""
        if self._first is None or not bool(self.bad):
            return None
        good = int(self._good.item())
        if self._every == (1,):
            return self._first + good
        # Which turns there were is a function of the step, so the count of good ones tells the first that was not.
        turns = (step for step in count(self._first) for every in self._every if step % every == 0)
        return next(islice(turns, good, None))


class GuardedStep:
    """One optimizer step that never applies a non-finite gradient, without waiting for the device to say so.

    A fused optimizer takes ``found_inf`` and skips its update on the device; for another (Adamax, RMSprop) the device is
    asked before each step, and waited for.

    Args:
        optimizer: What to step.
        clip: Greatest norm of the gradient, or None.
        workers: Whose gradients are summed before anything is decided from them.
        guard: Shared with the other players; None: one of its own.
        alone: Whether all leaves of the objective are this optimizer's; otherwise the others are left out of backward.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        clip: float | None,
        workers: Workers = ALONE,
        guard: Guard | None = None,
        *,
        alone: bool = True,
    ) -> None:
        self.optimizer = optimizer
        self._workers = workers
        self._clip = clip
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._inputs = None if alone else self._parameters
        self._fused = bool(optimizer.defaults.get("fused"))
        self._guard = guard or Guard(self._parameters[0].device if self._parameters else torch.device("cpu"))
        if self._fused:
            optimizer.found_inf = self._guard.bad  # pyright: ignore[reportAttributeAccessIssue]

    def __call__(self, objective: Tensor, step: int, values: Tensor, weight: float = 1.0) -> Tensor:
        """Backward, sum over the workers, clip, check, update.

        Args:
            objective: Of this worker's share of the batch.
            step: Its number, to be named if it is bad.
            values: ``[V]``, what to report of the share: the objective, then whatever else.
            weight: The share's weight; see `Workers.weight`.

        Returns:
            ``[V]``, the values of the whole batch.
        """
        objective.backward(inputs=self._inputs)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        values = self._workers.sum(gradients, values, weight)
        if not gradients:
            return values
        guard = self._guard
        guard.begin(step)
        guard.look_at(gradients)
        guard.look_at([values[:1].clone()])
        scale: Tensor | None = None
        if self._clip is not None:
            # Finite gradients can have an infinite norm; clipping by it would zero them all.
            norm = torch.stack(torch._foreach_norm(gradients)).norm()  # pyright: ignore[reportPrivateUsage, reportArgumentType, reportPrivateImportUsage]
            guard.look_at([norm.reshape(1)])
            scale = (self._clip / (norm + 1e-6)).clamp(max=1.0)
        guard.end()
        if scale is not None:
            torch._foreach_mul_(gradients, scale)  # pyright: ignore[reportPrivateUsage, reportArgumentType, reportPrivateImportUsage]
        if self._fused or not bool(guard.bad):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values

    def first_bad_step(self) -> int | None:
        """See `Guard.first_bad_step`."""
        return self._guard.first_bad_step()
