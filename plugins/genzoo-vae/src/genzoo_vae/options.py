"""Options of the VAE; imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class VAEOptions(Options):
    """Options of `genzoo_vae.vae.VAE`."""

    latent_dim: int = Field(2, ge=1, le=65536, description="Number of latent dimensions.")
