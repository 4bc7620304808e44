"""Options of genzoo-vampprior."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options


class VampPriorOptions(Options):
    """Options of `VampPrior`."""

    pseudo_inputs: int = Field(500, ge=1, le=65536, description="Number of pseudo-inputs, the mixture's components.")
    initial: Literal["data", "noise"] = Field(
        "data", description="Pseudo-inputs start from training images plus noise, or from noise alone."
    )
    noise: float = Field(0.01, ge=0, le=1, description="Standard deviation of the noise that pseudo-inputs start with.")
    learn_weights: bool = Field(False, description="Learn the mixture's weights; the paper has equal ones.")

    tiny: ClassVar[dict[str, Any]] = {"pseudo_inputs": 4}
