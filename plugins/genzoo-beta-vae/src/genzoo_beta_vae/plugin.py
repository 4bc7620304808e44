"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl

PAPER = "Higgins et al. 2017, beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework"


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="beta-vae",
            base="vae",
            companions={"loss": ("elbo", {"beta": 4})},
            summary="The VAE with the rate weighted by β = 4, for factors that stand apart",
            paper=PAPER,
            api="1.0",
        ),
    ]


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            kind="loss",
            name="normalised-elbo",
            target="genzoo_beta_vae.normalised_elbo:NormalisedElbo",
            options="genzoo_beta_vae.options:NormalisedElboOptions",
            summary="Distortion plus β times rate, with β stated as Higgins' normalised β",
            paper=PAPER,
            api="1.0",
        ),
    ]
