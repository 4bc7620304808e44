"""Options that priors fitted after the model share; imports no torch."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from genzoo.options import Options


class FittedAfterOptions(Options):
    """Options of `genzoo.parts.fitted_after.FittedAfter`."""

    conditional: bool = Field(False, description="Learn p(z|c) from the labels.")
    epochs: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="Epochs over the training images when it is fitted. Absent: a third of the run's.",
    )

    without_effect: ClassVar[dict[str, str]] = {"epochs": "acts in the stage of a run that fits the prior"}

    def for_run(self, epochs: int) -> Self:
        """See `Options.for_run`."""
        return self if self.epochs is not None else self.model_copy(update={"epochs": max(1, round(epochs / 3))})
