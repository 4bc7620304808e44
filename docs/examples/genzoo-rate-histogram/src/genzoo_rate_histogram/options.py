"""Options of the rate histogram visualizer. Importing it imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class RateHistogramOptions(Options):
    """Options of the rate histogram visualizer."""

    images: int = Field(1000, ge=1, le=1_000_000, description="How many test images to draw.")
    bins: int = Field(30, ge=2, le=1000, description="How many bars.")

    tiny: ClassVar[dict[str, Any]] = {"images": 8}
