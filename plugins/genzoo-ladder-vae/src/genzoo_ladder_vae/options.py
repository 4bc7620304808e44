"""Options of genzoo-ladder-vae."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.options import Options
from genzoo.parts.activation import Activation

Size = Annotated[int, Field(ge=1, le=65536)]


class LadderOptions(Options):
    """Options of `LadderVAE`; what is given a level is given top first."""

    latent_dims: tuple[Size, ...] = Field(
        (50, 100), min_length=2, max_length=16, description="Latent dimensions of each level, top first."
    )
    widths: tuple[Size, ...] = Field(
        (100, 200), min_length=2, max_length=16, description="Hidden units at each level, top first."
    )
    inference: Literal["top-down", "bottom-up"] = Field(
        "top-down",
        description="top-down: the posterior of a level merges what the image says with what the level above predicts; "
        "bottom-up: the posterior of a level depends on the level below alone.",
    )
    norm: Literal["none", "layer", "batch"] = Field(
        "layer",
        description="Normalisation of the hidden layers between levels; without any the upper levels tend to collapse. "
        "batch is the paper's and wants more than one image a batch; layer leaves images independent of each other.",
    )
    activation: Activation = Field("leaky-relu", description="Activation of the hidden layers between levels.")

    tiny: ClassVar[dict[str, Any]] = {"latent_dims": (2, 3), "widths": (8, 8)}

    @model_validator(mode="after")
    def _one_width_a_level(self) -> Self:
        if len(self.widths) != len(self.latent_dims):
            raise ValueError(
                f"widths must have one number a level, got {len(self.widths)} for {len(self.latent_dims)} levels"
            )
        return self
