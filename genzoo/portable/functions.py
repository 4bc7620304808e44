"""What of a model can leave genzoo: its encoder and its decoder, as functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genzoo.errors import IncompatibleError
from genzoo.interfaces import Generator, LatentGenerator, Model
from genzoo.types import Capability

_REPRODUCIBLE = {Capability.FACTORISED_POSTERIOR, Capability.DETERMINISTIC_POSTERIOR}


class Function(nn.Module):
    """A function of tensors that a model computes, with names for what goes in and comes out.

    Args:
        model: The model, whose weights it holds.
        function: From tensors with a batch to a tensor, or a tuple of them.
        inputs: Name → how to draw an example for a batch of n.
        outputs: Names.
    """

    def __init__(
        self,
        model: nn.Module,
        function: Callable[..., Any],
        inputs: dict[str, Callable[[int], Tensor]],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.model = model
        self.function = function
        self.inputs = inputs
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> Any:
        """The outputs, in their order; one alone is no tuple."""
        return self.function(*tensors)

    def example(self, n: int) -> tuple[Tensor, ...]:
        """Inputs with a batch of n, from a seed of their own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(n)
            return tuple(draw(n) for draw in self.inputs.values())


@dataclass(frozen=True)
class Functions:
    """What can be exported of a model, and why the rest cannot.

    Args:
        found: Name, ``encoder`` or ``decoder`` → function.
        absent: Name → reason, a sentence without its full stop.
    """

    found: dict[str, Function]
    absent: dict[str, str]


def functions_of(model: Generator, name: str) -> Functions:
    """The encoder and the decoder of a model, as far as it has them.

    The decoder takes the latents of each level, top first, and gives images in [0, 1]. The encoder takes images and gives
    ``mean`` and ``stddev`` of the posterior of the top level, or ``codes`` where it is deterministic. Both take labels where
    the model is conditional.

    Args:
        model: A trained model, in eval mode, on the CPU.
        name: What it is called.

    Raises:
        IncompatibleError: If it has neither.
    """
    found: dict[str, Function] = {}
    absent: dict[str, str] = {}
    if not isinstance(model, LatentGenerator):
        absent = {"encoder": f"{name} does not encode", "decoder": f"{name} has no latents to decode"}
    else:
        found["decoder"] = _decoder(model)
        if not isinstance(model, Model):
            absent["encoder"] = f"{name} does not encode"
        elif not _REPRODUCIBLE & set(model.capabilities):
            absent["encoder"] = f"the posterior of {name} is not given by a mean and a standard deviation, or by codes"
        else:
            found["encoder"] = _encoder(model)
    if not found:
        raise IncompatibleError(
            f"export: the model must have an encoder or a decoder, got {name}, which has neither.",
            "`--to hub-folder` keeps the weights of every model.",
        )
    return Functions(found, absent)


def _decoder(model: LatentGenerator) -> Function:
    levels, conditional = model.levels, Capability.CONDITIONAL in model.capabilities
    names = ["latent"] if len(levels) == 1 else [f"latent_{number + 1}" for number in range(len(levels))]

    def drawn(shape: Sequence[int], categories: int | None) -> Callable[[int], Tensor]:
        if categories is None:
            return lambda n: torch.randn(n, *shape)
        return lambda n: torch.randint(categories, (n, *shape))

    inputs = {name: drawn(level.shape, level.categories) for name, level in zip(names, levels, strict=True)}
    if conditional:
        inputs["label"] = _labels(model)

    def decode(*tensors: Tensor) -> Tensor:
        return model.generate(tensors[: len(levels)], tensors[-1] if conditional else None)

    return Function(model, decode, inputs, ["image"])


def _encoder(model: Model) -> Function:
    conditional = Capability.CONDITIONAL in model.capabilities
    codes = Capability.DETERMINISTIC_POSTERIOR in model.capabilities
    inputs: dict[str, Callable[[int], Tensor]] = {"image": lambda n: torch.rand(n, *model.image.shape)}
    if conditional:
        inputs["label"] = _labels(model)

    def encode(image: Tensor, label: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        posterior = model.posterior(image, label)
        return posterior.mode if codes else (posterior.mean, posterior.stddev)

    return Function(model, encode, inputs, ["codes"] if codes else ["mean", "stddev"])


def _labels(model: Generator) -> Callable[[int], Tensor]:
    image = model.image
    if image.conditions:
        return lambda n: torch.rand(n, len(image.conditions))
    return lambda n: torch.randint(image.classes or 1, (n,))
