"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_metrics() -> list[Component]:
    return [
        Component(
            "metric",
            "nll",
            "genzoo_nll.nll:NegativeLogLikelihood",
            "genzoo_nll.options:NegativeLogLikelihoodOptions",
            summary="Negative log-likelihood by importance sampling, with its K and standard error",
            paper="Rezende et al. 2014, Stochastic Backpropagation and Approximate Inference in Deep Generative Models",
            api="1.0",
        )
    ]
