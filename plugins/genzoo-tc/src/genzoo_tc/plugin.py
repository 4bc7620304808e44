"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            "loss",
            "beta-tc",
            "genzoo_tc.beta_tc:BetaTC",
            "genzoo_tc.options:BetaTCOptions",
            summary="The rate split in three, its total correlation weighted by beta",
            paper="Chen et al. 2018, Isolating Sources of Disentanglement in Variational Autoencoders",
            api="1.0",
        ),
        Component(
            "loss",
            "factor-vae",
            "genzoo_tc.factor_vae:FactorVAE",
            "genzoo_tc.options:FactorVAEOptions",
            summary="The elbo and the total correlation of the latents, told by a critic",
            paper="Kim and Mnih 2018, Disentangling by Factorising, https://arxiv.org/abs/1802.05983",
            api="1.1",
        ),
    ]
