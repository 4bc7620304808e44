"""Options of genzoo-flow-prior."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class FlowOptions(Options):
    """Options of `FlowPrior`."""

    layers: int = Field(6, ge=1, le=64, description="Number of coupling layers, whose two halves alternate.")
    width: int = Field(64, ge=1, le=4096, description="Hidden units of the two-layer network of each coupling.")

    tiny: ClassVar[dict[str, Any]] = {"layers": 2, "width": 8}


class ImageFlowOptions(Options):
    """Options of `ImageFlowPrior`."""

    scales: int = Field(2, ge=1, le=6, description="Number of scales, each at half the side of the one before.")
    couplings: int = Field(
        4, ge=1, le=32, description="Couplings over a checkerboard, and as many over channels, at each scale."
    )
    width: int = Field(32, ge=2, le=1024, description="Channels within a coupling.")

    tiny: ClassVar[dict[str, Any]] = {"couplings": 2, "width": 8}
