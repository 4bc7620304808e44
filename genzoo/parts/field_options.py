"""Options that priors made of a field share; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field

from genzoo.options import Options


class FieldPriorOptions(Options):
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
    epochs: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="Epochs over the training images when it is fitted. Absent: a third of the run's.",
    )

    without_effect: ClassVar[dict[str, str]] = {"epochs": "acts in the stage of a run that fits the prior"}
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {
        "guidance": {"conditional": True},
        "drop_label": {"conditional": True},
    }

    def for_run(self, epochs: int) -> Self:
        """See `Options.for_run`."""
        return self if self.epochs is not None else self.model_copy(update={"epochs": max(1, round(epochs / 3))})
