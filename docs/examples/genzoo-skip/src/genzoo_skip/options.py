"""Options of the skip network. Importing it imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class SkipOptions(Options):
    """Options of the skip network."""

    hidden: int = Field(256, ge=1, le=65536, description="Units of each hidden layer.")
    layers: int = Field(3, ge=1, le=64, description="Hidden layers, each of which reads the input.")
    tiny: ClassVar[dict[str, Any]] = {"hidden": 16, "layers": 2}
