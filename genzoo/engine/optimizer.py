"""Optimizers by name, and a step that leaves the weights alone when a loss or gradient is not finite."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from genzoo.engine.workers import ALONE, Workers
from genzoo.recipe import TrainOptions

_CLASSES: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def make_optimizer(train: TrainOptions, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the options name, fused where torch has a fused one."""
    kind = _CLASSES[train.optimizer]
    fused = {"fused": True} if "fused" in inspect.signature(kind).parameters else {}
    return kind([p for p in parameters if p.requires_grad], lr=train.lr, weight_decay=train.weight_decay, **fused)  # pyright: ignore[reportCallIssue]


class GuardedStep:
    """One optimizer step that never applies a non-finite gradient, without waiting for the device to say so.

    A fused optimizer takes ``found_inf`` and skips its update on the device; for another (Adamax, RMSprop) the device is
    asked before each step, and waited for. Once a step was bad, all later ones are skipped too, until `first_bad_step` is
    read and the run stops.

    Args:
        optimizer: What to step.
        clip: Greatest norm of the gradient, or None.
        workers: Whose gradients are summed before anything is decided from them.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, clip: float | None, workers: Workers = ALONE) -> None:
        self._optimizer = optimizer
        self._workers = workers
        self._clip = clip
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._fused = bool(optimizer.defaults.get("fused"))
        device = self._parameters[0].device if self._parameters else torch.device("cpu")
        self._bad = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)
        self._good = torch.zeros((), dtype=torch.int64, device=device)
        self._first: int | None = None
        if self._fused:
            optimizer.found_inf = self._bad  # pyright: ignore[reportAttributeAccessIssue]

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
        objective.backward()
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        values = self._workers.sum(gradients, values, weight)
        if not gradients:
            return values
        self._first = step if self._first is None else self._first
        self._look_at(gradients)
        self._look_at([values[:1].clone()])
        scale: Tensor | None = None
        if self._clip is not None:
            # Of gradients that are finite the norm may yet overflow, and would then scale them all to nothing.
            norm = torch.stack(torch._foreach_norm(gradients)).norm()  # pyright: ignore[reportPrivateUsage, reportArgumentType, reportPrivateImportUsage]
            self._look_at([norm.reshape(1)])
            scale = (self._clip / (norm + 1e-6)).clamp(max=1.0)
        self._good.add_(self._bad == 0)
        if scale is not None:
            torch._foreach_mul_(gradients, scale)  # pyright: ignore[reportPrivateUsage, reportArgumentType, reportPrivateImportUsage]
        if self._fused or not bool(self._bad):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return values

    def _look_at(self, tensors: list[Tensor]) -> None:
        """Note in ``bad`` whether one of them is not finite; what was bad before stays so."""
        if self._bad.device.type == "mps":
            finite = torch.isfinite(torch.stack([tensor.sum() for tensor in tensors]).sum())
            self._bad.copy_(torch.maximum(self._bad, (~finite).to(self._bad.dtype)))
            return
        # One pass over all of them, as torch's own GradScaler makes it; it multiplies by one on the way.
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            torch._amp_foreach_non_finite_check_and_unscale_(alike, self._bad, self._one)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def first_bad_step(self) -> int | None:
        """The step at which a loss or gradient was first not finite; waits for the device."""
        if self._first is None or not bool(self._bad):
            return None
        return self._first + int(self._good.item())
