"""Averaged weights: an exponential moving average of a model's state, swapped in where the model is shown or measured."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averages:
    """The average of a model's floating-point parameters, and the newest of everything else in its state.

    .. math:: a_t = d_t\\, a_{t-1} + (1 - d_t)\\, w_t, \\qquad d_t = \\min(d, (1 + t) / (10 + t))

    It is a dictionary of tensors and not a copy of the model, since attributes of a module that are no tensors would not
    follow.

    Args:
        model: Whose state is averaged.
        decay: d, below 1.

    References:
        Tarvainen and Valpola 2017, *Mean teachers are better role models*; the warm-up of d is that of TensorFlow's
        ``ExponentialMovingAverage``.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: value.detach() for name, value in model.state_dict(keep_vars=True).items()}
        parameters = {name for name, _ in model.named_parameters()}
        self._averaged = [
            name for name, value in self._live.items() if name in parameters and value.is_floating_point()
        ]
        self._copied = [name for name in self._live if name not in set(self._averaged)]
        self.tensors: dict[str, Tensor] = {name: value.clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after step ``step``, counted from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        if self._averaged:
            averages = [self.tensors[name] for name in self._averaged]
            torch._foreach_lerp_(averages, [self._live[name] for name in self._averaged], 1 - decay)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        for name in self._copied:
            self.tensors[name].copy_(self._live[name])

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from stored averages."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    @contextmanager
    def swapped_in(self) -> Generator[None]:
        """The model with averaged weights, for a block; whatever the block changes of them is lost."""
        kept = {name: value.clone() for name, value in self._live.items()}
        self._put(self.tensors)
        try:
            yield
        finally:
            self._put(kept)

    def apply(self) -> None:
        """Give the model the averaged weights for good."""
        self._put(self.tensors)

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in tensors.items():
                self._live[name].copy_(value)
