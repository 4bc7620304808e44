"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            kind="loss",
            name="dip-vae",
            target="genzoo_dip_vae.dip_vae:DipVae",
            options="genzoo_dip_vae.options:DipVaeOptions",
            summary="The elbo, with posterior means that are not correlated",
            paper="Kumar et al. 2018",
            api="1.1",
        ),
    ]
