"""Options of the networks; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.options import Options
from genzoo.parts.activation import Activation

Width = Annotated[int, Field(ge=1, le=65536)]


class ConvOptions(Options):
    """Options of `genzoo_networks.conv.Conv`."""

    channels: tuple[Width, ...] = Field(
        (32, 64, 128), min_length=1, max_length=8, description="Channels after each convolution, from the image on."
    )
    hidden: tuple[Width, ...] = Field(
        (),
        max_length=8,
        description="Widths of dense layers between the flattened map and the head; the decoder has them in reverse.",
    )
    activation: Activation = Field("relu", description="Activation after every layer but the last.")
    norm: Literal["none", "batch", "group"] = Field(
        "none", description="Normalisation after each convolution but the last: none, batch, or group (of 8 channels)."
    )

    initialisation: Literal["xavier", "he", "torch"] = Field(
        "xavier",
        description="Start of the weights: uniform by Glorot, or normal by He, both with zero biases; or torch's own.",
    )

    tiny: ClassVar[dict[str, Any]] = {"channels": (8, 8)}


class MLPOptions(Options):
    """Options of `genzoo_networks.mlp.MLP`."""

    hidden: tuple[Width, ...] = Field(
        (512, 256), max_length=16, description="Widths of the hidden layers; the decoder has them in reverse."
    )
    activation: Activation | Literal["gated"] = Field(
        "relu", description="Activation of the hidden layers; gated multiplies a linear map by the sigmoid of another."
    )
    norm: Literal["none", "batch", "layer"] = Field(
        "none", description="Normalisation between a hidden layer's linear map and its activation."
    )
    initialisation: Literal["torch", "xavier", "he"] = Field(
        "torch",
        description="Start of the weights: torch's own, uniform by Glorot, or normal by He; the last two with zero biases.",
    )

    tiny: ClassVar[dict[str, Any]] = {"hidden": (16,)}

    @model_validator(mode="after")
    def _gates_are_not_normalised(self) -> Self:
        if self.norm != "none" and self.activation == "gated":
            raise ValueError(f"norm must be none with gated layers, got {self.norm}")
        return self


class ResNetOptions(Options):
    """Options of `genzoo_networks.resnet.ResNet`."""

    channels: tuple[Width, ...] = Field(
        (32, 64, 128), min_length=1, max_length=8, description="Channels at each side, each half of the one before."
    )
    blocks: int = Field(1, ge=1, le=32, description="Residual blocks at each side.")
    activation: Activation = Field("silu", description="Activation within the blocks.")
    norm: Literal["none", "batch", "group"] = Field(
        "group", description="Normalisation before each activation: none, batch, or group (of 8 channels)."
    )
    excitation: bool = Field(False, description="Squeeze-excitation at the end of each block.")
    attention: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (),
        max_length=8,
        description="Sides (the longer one) whose blocks are followed by self-attention, as 7 for 28×28.",
    )

    tiny: ClassVar[dict[str, Any]] = {"channels": (8, 8)}


class UNetOptions(Options):
    """Options of `genzoo_networks.unet.UNet`."""

    width: int = Field(
        64, ge=2, le=4096, multiple_of=2, description="Channels at half the side; at a quarter there are twice as many."
    )

    tiny: ClassVar[dict[str, Any]] = {"width": 8}
