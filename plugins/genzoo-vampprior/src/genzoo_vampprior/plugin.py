"""Declarations of genzoo-vampprior."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_priors`."""
    return [
        Component(
            "prior",
            "vampprior",
            target="genzoo_vampprior.vampprior:VampPrior",
            options="genzoo_vampprior.options:VampPriorOptions",
            summary="A mixture of the model's own posteriors at learned pseudo-inputs",
            paper="Tomczak & Welling 2018, VAE with a VampPrior, https://arxiv.org/abs/1705.07120",
            api="1.0",
        )
    ]
