"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            "loss",
            "beta-tc",
            "genzoo_tc.beta_tc:BetaTC",
            "genzoo_tc.options:BetaTCOptions",
            summary="The rate split in three, its total correlation weighted by beta",
            paper="Chen et al. 2018, Isolating Sources of Disentanglement in Variational Autoencoders",
            api="1.0",
        )
    ]
