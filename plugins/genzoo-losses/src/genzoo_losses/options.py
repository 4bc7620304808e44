"""Options of the elbo loss; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.options import Options


class ElboOptions(Options):
    """Options of `genzoo_losses.elbo.Elbo`."""

    beta: float = Field(1.0, ge=0, le=1e6, description="Weight of the rate; a scheduler multiplies it.")
    free_bits: float = Field(
        0.0, ge=0, le=1e6, description="Nats of rate that cost a constant: the rate counts as at least this much."
    )
    free_bits_per: Literal["level", "dimension"] = Field(
        "level", description="Whether free bits hold for the rate of a level or of each of its latent dimensions."
    )
    capacity: float | None = Field(
        None, ge=0, le=1e6, description="Nats that the rate is drawn to, in place of beta; a scheduler may raise it."
    )
    gamma: float = Field(1000.0, gt=0, le=1e6, description="Weight of the distance between rate and capacity.")
    distortion_per: Literal["image", "pixel"] = Field(
        "image",
        description="Sum the distortion over the image, as the ELBO has it, or average it over pixels and channels, "
        "which weighs the rate that many times more.",
    )

    acts_with: ClassVar[dict[str, dict[str, Any]]] = {
        "free_bits_per": {"free_bits": 0.5},
        "gamma": {"capacity": 5.0},
    }

    @model_validator(mode="after")
    def _no_option_is_dropped(self) -> Self:
        default = type(self).model_fields
        if self.capacity is None and self.gamma != default["gamma"].default:
            raise ValueError("gamma needs a capacity: without one the rate is weighted by beta.")
        if self.capacity is not None and self.beta != default["beta"].default:
            raise ValueError("beta has no effect with a capacity: the weight is gamma. Leave one of them out.")
        if self.capacity is not None and self.free_bits:
            raise ValueError("free_bits and capacity exclude each other. Leave one of them out.")
        if not self.free_bits and self.free_bits_per != default["free_bits_per"].default:
            raise ValueError("free_bits_per needs free_bits above 0.")
        return self


class GecoOptions(Options):
    """Options of `genzoo_losses.geco.Geco`."""

    target: float = Field(
        140.0,
        ge=-1e9,
        le=1e9,
        description="Distortion in nats per image that is to be reached; a scheduler may drive it.",
    )
    speed: float = Field(
        0.01,
        gt=0,
        le=1,
        description="How fast the weight follows: its logarithm moves by this times the relative excess.",
    )
    memory: float = Field(0.99, ge=0, lt=1, description="Decay of the moving average of the excess over steps.")
    greatest: float = Field(1e4, gt=1, le=1e9, description="Greatest weight; the least is one divided by it.")

    tiny: ClassVar[dict[str, Any]] = {"target": 1.0}
    without_effect: ClassVar[dict[str, str]] = {
        "speed": "acts after a training step",
        "memory": "acts after a training step",
        "greatest": "acts after a training step",
    }
