"""Declarations of genzoo-autoregressive."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_priors`."""
    return [
        Component(
            "prior",
            "autoregressive",
            target="genzoo_autoregressive.autoregressive:AutoregressivePrior",
            options="genzoo_autoregressive.options:AutoregressiveOptions",
            summary="A gated PixelCNN over codes, fitted once the model is trained; uniform until then",
            paper="van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, "
            "https://arxiv.org/abs/1606.05328",
            api="1.0",
        ),
        Component(
            "prior",
            "uniform-codes",
            target="genzoo_autoregressive.uniform:UniformCodes",
            summary="Every code equally likely, log K nats each",
            paper="van den Oord et al. 2017, Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937",
            api="1.0",
        ),
    ]
