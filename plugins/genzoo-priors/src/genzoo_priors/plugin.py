"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    return [
        Component(
            kind="prior",
            name="standard-normal",
            target="genzoo_priors.standard_normal:StandardNormalPrior",
            options="genzoo.options:NoOptions",
            summary="N(0, I), fixed; the rate is a closed form",
            paper="Kingma and Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114",
            api="1.0",
        ),
        Component(
            kind="prior",
            name="mixture",
            target="genzoo_priors.mixture:MixturePrior",
            options="genzoo_priors.options:MixtureOptions",
            summary="A mixture of K diagonal normals, learned with the model; the rate is Monte Carlo",
            paper="Tomczak and Welling 2018, VAE with a VampPrior, https://arxiv.org/abs/1705.07120, section 3",
            api="1.0",
        ),
    ]
