"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            kind="loss",
            name="elbo",
            target="genzoo_losses.elbo:Elbo",
            options="genzoo_losses.options:ElboOptions",
            summary="Distortion plus β times rate, with free bits or a capacity on request",
            paper="Kingma and Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114",
            api="1.0",
        ),
    ]
