"""The interface of a network: encoder and decoder bodies for given shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from genzoo.errors import UsageError
from genzoo.options import Options
from genzoo.types import Shape


class Network(ABC):
    """Makes encoder and decoder bodies; holds options and no parameters.

    Shapes leave out the batch. An image is ``(C, H, W)``, a vector ``(D,)``; a spatial latent ``(D, h, w)``.

    Subclass requirements:
        - `encoder` and `decoder`; refuse a shape that cannot be served with a `UsageError` that names it.
        - Optionally `field`, for networks that a prior such as a diffusion model is made of (``--field``).
        - ``offers``: which of the three there are, if not encoder and decoder alone.

    Args:
        options: The plugin's options.
    """

    offers: ClassVar[frozenset[str]] = frozenset({"encoder", "decoder"})

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """A module from ``[B, *input]`` (an image) to ``[B, *output]`` (a vector, or a map of features)."""

    @abstractmethod
    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """A module from ``[B, *input]`` (a vector, or a map of features) to ``[B, *output]`` (raw, no activation)."""

    def field(self, image: Shape, condition: Shape) -> nn.Module:
        """A module from an image ``[B, *image]`` and a condition ``[B, *condition]`` to ``[B, *image]``.

        The condition holds what the output depends on beside the image, such as an embedded time and label.

        Raises:
            UsageError: Unless the network offers fields.
        """
        raise UsageError(
            f"{type(self).__name__}: field must be offered by a network that is chosen with --field, and is not.",
            "Choose a network that offers one, such as --field unet.",
        )
