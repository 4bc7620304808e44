"""Options of the staircase scheduler. Importing it imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class StaircaseOptions(Options):
    """Options of the staircase scheduler."""

    steps: int = Field(4, ge=1, le=1000, description="How many steps lead from 0 to 1.")
    epochs: int = Field(3, ge=1, le=100_000, description="How many epochs a step lasts.")
