"""Options of the InfoVAE objective. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genzoo.options import Options


class InfoVAEOptions(Options):
    """Options of `genzoo_info_vae.info_vae.InfoVAE`."""

    alpha: float = Field(0.5, ge=0, le=1, description="The rate is weighted by 1 - alpha; 0 keeps it, 1 drops it.")
    mmd: float = Field(
        1000.0,
        ge=0,
        description="Weight of the discrepancy, alpha + lambda - 1 in the paper; a scheduler may drive it.",
    )
    kernel: Literal["imq", "rbf"] = Field("imq", description="Inverse multiquadratic or Gaussian kernel.")
    bandwidth: float = Field(1.0, gt=0, description="Width of the kernel, in standard deviations of N(0, I).")
    multi_scale: bool = Field(
        True, description="Average the kernel over seven widths, 0.1 to 10 times the squared one."
    )
    unbiased: bool = Field(
        True, description="Leave a sample's kernel with itself out, so that equal laws give 0 on average."
    )
