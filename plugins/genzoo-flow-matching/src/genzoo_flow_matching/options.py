"""Options of the flow-matching prior; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field

from genzoo.options import Options


class FlowMatchingOptions(Options):
    """Options of `genzoo_flow_matching.flow_matching.FlowMatching`."""

    steps: int = Field(25, ge=1, le=10000, description="Euler steps when drawing, each one evaluation of the field.")
    conditional: bool = Field(
        False, description="Learn p(z|c) from the labels; without a label a draw then takes a label at random."
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="Epochs over the training images when it is fitted. Absent: a third of the run's.",
    )

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "epochs": 1}
    without_effect: ClassVar[dict[str, str]] = {"epochs": "acts in the stage of a run that fits the prior"}

    def for_run(self, epochs: int) -> Self:
        """See `Options.for_run`."""
        return self if self.epochs is not None else self.model_copy(update={"epochs": max(1, round(epochs / 3))})
