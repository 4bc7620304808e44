"""Options of genzoo-zuko; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class AutoregressiveFlowOptions(Options):
    """Options of `genzoo_zuko.flows.AutoregressiveFlow`."""

    conditional: bool = Field(
        False, description="Learn p(z|c) from the labels; without a label it is then their mixture."
    )
    transforms: int = Field(3, ge=1, le=64, description="Number of transforms, each with a network of its own.")
    width: int = Field(64, ge=1, le=4096, description="Hidden units of each layer of such a network.")
    depth: int = Field(2, ge=1, le=16, description="Hidden layers of such a network.")
    passes: int | None = Field(
        None,
        ge=2,
        le=65536,
        description="Groups of dimensions that are drawn one after another; 2 makes a coupling. Absent: one group per "
        "dimension up to 32 dimensions, else 2.",
    )

    tiny: ClassVar[dict[str, Any]] = {"transforms": 2, "width": 32}
    without_effect: ClassVar[dict[str, str]] = {
        "passes": "masks weights that an untrained flow, which is N(0, I), does not read",
    }


class SplineFlowOptions(AutoregressiveFlowOptions):
    """Options of `genzoo_zuko.flows.SplineFlow`."""

    bins: int = Field(8, ge=2, le=256, description="Pieces of each spline.")
