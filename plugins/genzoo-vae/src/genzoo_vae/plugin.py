"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="vae",
            target="genzoo_vae.vae:VAE",
            options="genzoo_vae.options:VAEOptions",
            summary="The variational autoencoder: a diagonal normal posterior, one level of real latents",
            paper="Kingma and Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114",
        ),
    ]
