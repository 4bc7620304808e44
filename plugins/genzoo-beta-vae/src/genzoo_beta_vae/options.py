"""Options of the normalised-elbo loss; imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class NormalisedElboOptions(Options):
    """Options of `genzoo_beta_vae.normalised_elbo.NormalisedElbo`."""

    beta: float = Field(
        0.01, ge=0, le=1e6, description="Normalised β: the rate's weight times latent size over image size."
    )
