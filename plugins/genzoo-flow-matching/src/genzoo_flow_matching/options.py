"""Options of the flow-matching prior; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.parts.field_options import FieldPriorOptions


class FlowMatchingOptions(FieldPriorOptions):
    """Options of `genzoo_flow_matching.flow_matching.FlowMatching`."""

    steps: int = Field(25, ge=1, le=10000, description="Steps when drawing.")
    solver: Literal["euler", "heun"] = Field(
        "euler", description="How a step is taken: euler evaluates the field once, heun twice and errs less."
    )

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "epochs": 1}
