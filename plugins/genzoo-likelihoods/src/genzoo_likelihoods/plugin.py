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
            summary="A Bernoulli a pixel, from logits; −log p is the binary cross-entropy",
            paper="Kingma and Welling 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114",
            api="1.0",
        ),
        Component(
            kind="likelihood",
            name="continuous-bernoulli",
            target="genzoo_likelihoods.continuous_bernoulli:ContinuousBernoulli",
            options="genzoo.options:NoOptions",
            summary="The Bernoulli made a density of grey values in [0, 1]",
            paper="Loaiza-Ganem and Cunningham 2019, The continuous Bernoulli, https://arxiv.org/abs/1907.06845",
            api="1.0",
        ),
        Component(
            kind="likelihood",
            name="gaussian",
            target="genzoo_likelihoods.gaussian:Gaussian",
            options="genzoo_likelihoods.options:GaussianOptions",
            summary="A normal a pixel, with a fixed scale, one learned scale, or one a pixel",
            paper="Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders, "
            "https://arxiv.org/abs/2006.13202",
            api="1.0",
        ),
    ]
