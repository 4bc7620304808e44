"""Options of the bars dataset. Importing it imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class BarsOptions(Options):
    """Options of the bars dataset."""

    side: int = Field(8, ge=2, le=64, description="Rows of an image, and columns.")
    chance: float = Field(0.25, ge=0.05, le=0.95, description="Probability of each bar.")
    train: int = Field(10000, ge=1, le=1000000, description="Training images.")
    test: int = Field(1000, ge=1, le=1000000, description="Test images.")
    seed: int = Field(0, ge=0, le=2**31, description="Which images.")
    tiny: ClassVar[dict[str, Any]] = {"train": 60, "test": 20}
