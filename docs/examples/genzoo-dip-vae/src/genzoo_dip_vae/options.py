"""Options of the DIP-VAE loss. Importing it imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class DipVaeOptions(Options):
    """Options of the DIP-VAE loss."""

    beta: float = Field(1, ge=0, le=1e6, description="Weight of the rate.")
    off_diagonal: float = Field(10, ge=0, le=1e6, description="Weight of the covariances between posterior means.")
    diagonal: float = Field(100, ge=0, le=1e6, description="Weight of the distance of their variances from 1.")
