"""Options that priors made of a field share; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.parts.fitted_options import FittedAfterOptions


class FieldPriorOptions(FittedAfterOptions):
    """Options of `genzoo.parts.field_prior.FieldPrior`."""

    conditional: bool = Field(
        False, description="Learn p(z|c) from the labels; without a label a draw then takes a label at random."
    )
    guidance: float = Field(
        1.0,
        ge=0,
        le=100,
        description="How far draws go from what is drawn without a label (0) to p(z|c) (1) and beyond, where they are more "
        "typical of the class and vary less.",
    )
    drop_label: float = Field(
        0.1, ge=0, lt=1, description="Part of the labels left out in fitting, for a guidance other than 1."
    )
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {
        "guidance": {"conditional": True},
        "drop_label": {"conditional": True},
    }
