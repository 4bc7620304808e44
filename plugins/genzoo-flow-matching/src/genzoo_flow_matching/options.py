"""Options of the flow-matching prior; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options
from genzoo.parts.field_options import FieldPriorOptions


class FlowMatchingOptions(FieldPriorOptions):
    """Options of `genzoo_flow_matching.flow_matching.FlowMatching`."""

    steps: int = Field(25, ge=1, le=10000, description="Equal steps when drawing, of euler and heun.")
    solver: Literal["euler", "heun", "adaptive"] = Field(
        "euler",
        description="How a step is taken: euler evaluates the field once, heun twice and errs less; adaptive chooses its "
        "steps (needs torchdiffeq).",
    )
    tolerance: float = Field(1e-4, gt=0, le=1, description="Relative and absolute error of a step of adaptive.")

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "epochs": 1}
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {
        **FieldPriorOptions.acts_with,
        "tolerance": {"solver": "adaptive"},
    }


class LogProbOptions(Options):
    """Options of `genzoo_flow_matching.log_prob.LogProb`."""

    images: int = Field(200, ge=1, description="Test images, drawn in every class; all where there are fewer.")
    exact: int = Field(16, ge=0, le=100_000, description="Latent dimensions up to which the trace is exact.")
    probes: int = Field(
        4, ge=2, le=10_000, description="Probes of the trace above that, which give its standard error."
    )
    solver: Literal["euler", "heun", "adaptive"] = Field(
        "heun", description="How the equation is solved; adaptive needs torchdiffeq."
    )
    steps: int = Field(50, ge=1, le=10_000, description="Equal steps of euler and heun.")
    tolerance: float = Field(1e-4, gt=0, le=1, description="Relative and absolute error of a step of adaptive.")

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "probes": 2}
    without_effect: ClassVar[dict[str, str]] = dict.fromkeys(
        ("exact", "probes", "solver", "steps", "tolerance"), "acts on a fitted flow-matching prior alone"
    )
