"""Options of genzoo-label-prior."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class LabelNormalOptions(Options):
    """Options of `LabelNormalPrior`."""

    spread: float = Field(
        1.0, ge=0, le=100, description="Standard deviation of the classes' means when training starts; 0: all at zero."
    )
    learn_scale: bool = Field(True, description="Learn the variances too; otherwise they stay 1.")
