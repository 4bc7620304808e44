"""Options of the diffusion prior; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.parts.field_options import FieldPriorOptions


class DiffusionOptions(FieldPriorOptions):
    """Options of `genzoo_diffusion.diffusion.Diffusion`."""

    predicts: Literal["v", "noise"] = Field(
        "v", description="What the field learns: v = α ε − σ z, whose error weighs all times alike, or the noise ε."
    )
    weighting: Literal["simple", "bound"] = Field(
        "simple",
        description="What fitting minimises: the squared error alone, for good draws, or the bound on −log p(z).",
    )
    most_snr: float = Field(
        10.0, ge=0, le=30, description="Log signal-to-noise ratio at time 0; 13 is fit for pixels of 8 bits."
    )
    least_snr: float = Field(-10.0, ge=-30, le=0, description="Log signal-to-noise ratio at time 1, where draws begin.")
    sampler: Literal["ancestral", "ddim"] = Field(
        "ddim", description="How draws are made: ancestral adds noise at each step, ddim at the start alone."
    )
    steps: int = Field(50, ge=1, le=10000, description="Steps when drawing, each one evaluation of the field.")

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "epochs": 1}

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.most_snr <= self.least_snr:
            raise ValueError(f"most_snr must be above least_snr, got {self.most_snr} and {self.least_snr}")
        return self
