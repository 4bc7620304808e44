"""Options of the importance-sampled likelihood. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options


class NegativeLogLikelihoodOptions(Options):
    """Options of `genzoo_nll.nll.NegativeLogLikelihood`."""

    samples: int = Field(
        200, ge=1, le=100_000, description="K, posterior samples an image; values of different K differ."
    )
    images: int = Field(
        10_000, ge=1, description="Images of the split, drawn in every class; all where there are fewer."
    )
    split: Literal["test", "train"] = Field("test", description="Which images.")
    quadrature: int = Field(
        100,
        ge=0,
        description="Images of these for which a model of one or two latent dimensions gets quadrature beside; 0 for none.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the decoder alone; encoder, densities and sums stay in float32 or better."
    )
    memory: int = Field(
        16,
        ge=1,
        le=1_000_000,
        description="Budget of the decoder's activations in MiB, about; more is slower on a CPU.",
    )

    without_effect: ClassVar[dict[str, str]] = {"memory": "it bounds the memory that is used, not what is estimated"}
    tiny: ClassVar[dict[str, Any]] = {"samples": 4, "images": 16, "memory": 1, "quadrature": 2}
