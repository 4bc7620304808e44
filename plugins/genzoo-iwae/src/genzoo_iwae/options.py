"""Options of the importance-weighted objective. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genzoo.options import Options


class ImportanceWeightedOptions(Options):
    """Options of `genzoo_iwae.iwae.ImportanceWeighted`."""

    samples: int = Field(5, ge=1, le=10_000, description="K, posterior samples an image.")
    gradient: Literal["plain", "dreg"] = Field(
        "plain",
        description="plain: of the bound itself; dreg: doubly reparameterised for the encoder, for a one-level model.",
    )
