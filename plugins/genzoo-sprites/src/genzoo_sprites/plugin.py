"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_datasets() -> list[Component]:
    return [
        Component(
            "dataset",
            "sprites",
            "genzoo_sprites.sprites:Sprites",
            "genzoo_sprites.options:SpritesOptions",
            summary="Shapes by scale, orientation and place, made like dSprites, with their factors",
            paper="Matthey et al. 2017, dSprites: Disentanglement testing Sprites dataset",
            api="1.0",
        )
    ]
