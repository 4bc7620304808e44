"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="cvae",
            target="genzoo_cvae.cvae:CVAE",
            options="genzoo_cvae.options:CVAEOptions",
            summary="The conditional VAE: the label as planes for the encoder, beside z for the decoder",
            paper="Sohn et al. 2015, Learning Structured Output Representation using Deep Conditional Generative Models",
        ),
    ]
