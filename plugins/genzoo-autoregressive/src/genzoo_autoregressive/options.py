"""Options of genzoo-autoregressive."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class AutoregressiveOptions(Options):
    """Options of `AutoregressivePrior`."""

    width: int = Field(64, ge=1, le=4096, description="Channels of each of the two stacks.")
    layers: int = Field(5, ge=1, le=64, description="Number of gated layers.")
    conditional: bool = Field(
        False, description="Learn p(z|c) from the labels; without a label it is then their mixture."
    )
    epochs: int = Field(10, ge=1, le=10000, description="Epochs over the training images' codes when it is fitted.")
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of Adam when it is fitted.")

    tiny: ClassVar[dict[str, Any]] = {"width": 8, "layers": 2, "epochs": 1}
    without_effect: ClassVar[dict[str, str]] = {
        "epochs": "acts in the stage of a run that fits the prior",
        "lr": "acts in the stage of a run that fits the prior",
    }
