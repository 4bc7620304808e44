"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            "loss",
            "info-vae",
            "genzoo_info_vae.info_vae:InfoVAE",
            "genzoo_info_vae.options:InfoVAEOptions",
            summary="Less rate, and a maximum mean discrepancy of the aggregate posterior from the prior",
            paper="Zhao et al. 2017, InfoVAE: Balancing Learning and Inference in Variational Autoencoders",
            api="1.0",
        )
    ]
