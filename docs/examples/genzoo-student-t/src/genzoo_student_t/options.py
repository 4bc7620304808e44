"""Options of the Student-t prior. Importing it imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class StudentTOptions(Options):
    """Options of the Student-t prior."""

    freedom: float = Field(5, gt=2, le=1e4, description="Degrees of freedom; the fewer, the heavier the tails.")
