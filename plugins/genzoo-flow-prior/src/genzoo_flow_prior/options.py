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
