"""A program: operations on tensors with a batch of one, as a page runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UsageError


class UnsupportedNetwork(UsageError):
    """A network that cannot be run in a page; the message says why."""


@dataclass
class Program:
    """Operations on tensors with a batch of one, in order.

    Args:
        inputs: Value number of each input.
        outputs: Value number of each output.
        shapes: Shape of each value, by number.
        ops: One mapping an operation: ``op``, ``in`` (value numbers), ``out`` (one value number), and its settings.
        constants: Value number → float32 tensor.
        multiplications: In one run, about.
    """

    inputs: list[int] = field(default_factory=list[int])
    outputs: list[int] = field(default_factory=list[int])
    shapes: list[list[int]] = field(default_factory=list[list[int]])
    ops: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    constants: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    multiplications: int = 0

    @property
    def weights(self) -> int:
        """How many numbers the constants have."""
        return sum(value.numel() for value in self.constants.values())

    def new(self, shape: Iterable[int]) -> int:
        """A new value of a shape; its number."""
        self.shapes.append([int(size) for size in shape])
        return len(self.shapes) - 1

    def constant(self, value: Tensor) -> int:
        """A new constant; its number."""
        number = self.new(value.shape)
        self.constants[number] = value.detach().float().cpu().clone(memory_format=torch.contiguous_format)
        return number

    def emit(self, op: str, inputs: Sequence[int], shape: Iterable[int], **settings: Any) -> int:
        """Append an operation; the number of its result."""
        number = self.new(shape)
        self.ops.append({"op": op, "in": list(inputs), "out": number, **settings})
        return number
