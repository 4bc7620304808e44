"""Declarations of genzoo-ladder-vae."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_models() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_models`."""
    return [
        Component(
            "model",
            "ladder-vae",
            target="genzoo_ladder_vae.ladder:LadderVAE",
            options="genzoo_ladder_vae.options:LadderOptions",
            summary="A hierarchical VAE, two levels or more, with top-down or bottom-up inference",
            paper="Sønderby et al. 2016, Ladder Variational Autoencoders, https://arxiv.org/abs/1602.02282",
            api="1.0",
        )
    ]
