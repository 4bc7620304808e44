"""Options of the CVAE; imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class CVAEOptions(Options):
    """Options of `genzoo_cvae.cvae.CVAE`."""

    latent_dim: int = Field(2, ge=1, le=65536, description="Number of latent dimensions.")
