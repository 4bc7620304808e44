"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import NOT_TAKEN, Component, hookimpl


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="pixels",
            target="genzoo_pixels.pixels:Pixels",
            options="genzoo_pixels.options:PixelsOptions",
            summary="Any prior as a model of images: the latents are the pixels themselves",
            paper="Theis et al. 2016, A note on the evaluation of generative models, https://arxiv.org/abs/1511.01844",
            companions={
                "prior": "flow",
                "network": NOT_TAKEN,
                "likelihood": NOT_TAKEN,
                "scheduler": "constant",
            },
            api="1.1",
        ),
    ]
