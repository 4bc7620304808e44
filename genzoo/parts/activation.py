"""Activation functions by name; importing this module imports no torch, so that options can name the type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"]
"""The names that `activation` knows, for a field of an options model."""


def activation(name: Activation) -> nn.Module:
    """A new activation module.

    Args:
        name: One of `Activation`; each with torch's defaults.

    Example:
        >>> activation("relu")
        ReLU()
    """
    from torch import nn

    modules = {
        "relu": nn.ReLU,
        "leaky-relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }
    return modules[name]()
