"""Declarations of genzoo-flow-prior."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_priors`."""
    return [
        Component(
            "prior",
            "flow",
            target="genzoo_flow_prior.flow:FlowPrior",
            options="genzoo_flow_prior.options:FlowOptions",
            summary="N(0, I) bent by affine coupling layers (RealNVP), with exact log-density",
            paper="Dinh et al. 2017, Density estimation using Real NVP, https://arxiv.org/abs/1605.08803",
            api="1.0",
        )
    ]
