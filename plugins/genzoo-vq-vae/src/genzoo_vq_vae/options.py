"""Options of genzoo-vq-vae."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options


class VQVAEOptions(Options):
    """Options of `VQVAE`."""

    codes: int = Field(128, ge=2, le=16384, description="Number of codes K in the codebook.")
    code_dim: int = Field(16, ge=1, le=4096, description="Dimensions D of a code's vector.")
    downsampling: int = Field(
        4,
        ge=1,
        le=64,
        description="Pixels a code stands for, each way; sides are rounded up, so 28 pixels become 7 codes.",
    )
    codebook: Literal["ema", "gradient"] = Field(
        "ema", description="Codes move to the running mean of what they stand for, or follow a gradient."
    )
    decay: float = Field(
        0.99, ge=0, lt=1, description="Decay of the running means and of the count of each code's uses."
    )
    commitment: float = Field(
        0.25,
        ge=0,
        le=1000,
        description="Weight of the commitment term as published, for means over pixels and elements; the model "
        "multiplies both terms by the number of pixels.",
    )
    revive_below: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Codes used less than this fraction of the mean use are moved to encodings; 0: never.",
    )

    tiny: ClassVar[dict[str, Any]] = {"codes": 8, "code_dim": 4}


class BatchOptions(Options):
    """Options of `CodebookPerplexity` and `ReconstructionMSE`."""

    batch_size: int = Field(500, ge=1, le=100000, description="Images encoded at a time.")

    without_effect: ClassVar[dict[str, str]] = {"batch_size": "memory alone"}


class CodeMapsOptions(Options):
    """Options of `CodeMaps`."""

    images: int = Field(8, ge=1, le=32, description="Number of test images.")

    tiny: ClassVar[dict[str, Any]] = {"images": 3}
