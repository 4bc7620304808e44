"""Options of the discretised logistic likelihood. Importing it imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class DiscretisedLogisticOptions(Options):
    """Options of the discretised logistic likelihood."""

    levels: int = Field(256, ge=2, le=65536, description="Grey levels of a pixel.")
    floor: float = Field(-7, ge=-12, le=0, description="Least log-scale that the decoder may give.")
