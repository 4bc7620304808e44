"""Options of the likelihoods; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.options import Options


class GaussianOptions(Options):
    """Options of `genzoo_likelihoods.gaussian.Gaussian`."""

    scale: float = Field(
        0.1, gt=0, le=1e3, description="Standard deviation of a pixel in [0, 1]; where it is learned, its start."
    )
    learn: Literal["none", "global", "optimal", "pixel"] = Field(
        "none",
        description="Keep the scale, learn one for all pixels by gradient (global) or set it to its optimum at each step "
        "(optimal), or have the decoder put out one per pixel.",
    )
    floor: float = Field(0.01, gt=0, le=1e3, description="Least standard deviation where the scale is learned.")

    acts_with: ClassVar[dict[str, dict[str, Any]]] = {"floor": {"learn": "pixel"}}

    @model_validator(mode="after")
    def _starts_above_the_floor(self) -> Self:
        if self.learn != "none" and self.scale <= self.floor:
            raise ValueError(f"scale must be above floor where it is learned, got {self.scale} and {self.floor}.")
        return self
