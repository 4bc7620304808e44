"""The interface of a network: encoder and decoder bodies for given shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from genzoo.options import Options
from genzoo.types import Shape


class Network(ABC):
    """Makes encoder and decoder bodies; holds options and no parameters.

    Shapes leave out the batch. An image is ``(C, H, W)``, a vector ``(D,)``; a spatial latent ``(D, h, w)``.

    Subclass requirements:
        - `encoder` and `decoder`; refuse a shape that cannot be served with a `UsageError` that names it.

    Args:
        options: The plugin's options.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """A module from ``[B, *input]`` (an image) to ``[B, *output]`` (a vector, or a map of features)."""

    @abstractmethod
    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """A module from ``[B, *input]`` (a vector, or a map of features) to ``[B, *output]`` (raw, no activation)."""
