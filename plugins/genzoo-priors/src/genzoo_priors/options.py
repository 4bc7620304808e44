"""Options of the priors; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class MixtureOptions(Options):
    """Options of `genzoo_priors.mixture.MixturePrior`."""

    components: int = Field(10, ge=1, le=10000, description="Number of normals, K.")
    spread: float = Field(
        1.0, ge=0, le=100, description="Standard deviation of the components' means at the start; 0 keeps them equal."
    )

    tiny: ClassVar[dict[str, Any]] = {"components": 3}
