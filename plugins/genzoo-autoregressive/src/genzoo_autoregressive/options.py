"""Options of genzoo-autoregressive."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from genzoo.parts.fitted_options import FittedAfterOptions


class CodesOptions(FittedAfterOptions):
    """Options that the priors over codes share."""

    conditional: bool = Field(
        False, description="Learn p(z|c) from the labels; without a label it is then their mixture."
    )
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam when it is fitted.")

    without_effect: ClassVar[dict[str, str]] = {
        **FittedAfterOptions.without_effect,
        "lr": "acts in the stage of a run that fits the prior",
    }


class TransformerOptions(CodesOptions):
    """Options of `TransformerPrior`."""

    width: int = Field(64, ge=1, le=4096, description="Numbers that a place is described by, a multiple of the heads.")
    layers: int = Field(4, ge=1, le=64, description="Number of blocks.")
    heads: int = Field(2, ge=1, le=64, description="Attention heads in a block.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Part of the numbers that each block leaves out in training.")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        return self

    tiny: ClassVar[dict[str, Any]] = {"width": 8, "layers": 2, "epochs": 1}
    without_effect: ClassVar[dict[str, str]] = {
        **CodesOptions.without_effect,
        "heads": "changes no shape, so that an untrained network, which is uniform, stays the same",
        "dropout": "leaves an untrained network, which is uniform, as it is",
    }


class AutoregressiveOptions(CodesOptions):
    """Options of `AutoregressivePrior`."""

    width: int = Field(64, ge=1, le=4096, description="Channels of each of the two stacks.")
    layers: int = Field(6, ge=1, le=64, description="Number of gated layers.")
    kernel: int = Field(
        3, ge=3, le=31, description="Width of the kernels, odd; wider ones reach further with fewer layers."
    )
    dilations: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1,),
        min_length=1,
        max_length=64,
        description="Steps between what a kernel reads, per layer and in turn: 1,2,4 reaches further at the same cost.",
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}")
        return kernel

    tiny: ClassVar[dict[str, Any]] = {"width": 8, "layers": 2, "epochs": 1}
    without_effect: ClassVar[dict[str, str]] = {
        **CodesOptions.without_effect,
        "dilations": "changes no shape, so that an untrained network, which is uniform, stays the same",
    }
