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
        Component(
            kind="loss",
            name="geco",
            target="genzoo_losses.geco:Geco",
            options="genzoo_losses.options:GecoOptions",
            summary="The least rate at which the distortion reaches a target, by a weight that follows it",
            paper="Rezende and Viola 2018, Taming VAEs, https://arxiv.org/abs/1810.00597",
            api="1.1",
        ),
    ]
