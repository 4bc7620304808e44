"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_likelihoods() -> list[Component]:
    return [
        Component(
            kind="likelihood",
            name="bernoulli",
            target="genzoo_likelihoods.bernoulli:Bernoulli",
            options="genzoo.options:NoOptions",
            summary="A Bernoulli a pixel, from logits; −log p is the binary cross-entropy.",
        ),
    ]
