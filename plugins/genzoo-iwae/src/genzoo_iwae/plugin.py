"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            "loss",
            "iwae",
            "genzoo_iwae.iwae:ImportanceWeighted",
            "genzoo_iwae.options:ImportanceWeightedOptions",
            summary="The importance-weighted bound of K samples",
            paper="Burda et al. 2016, Importance Weighted Autoencoders",
            api="1.0",
        )
    ]
