"""Declarations of genzoo-zuko; imports neither torch nor zuko."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_priors`."""
    return [
        Component(
            "prior",
            "maf",
            target="genzoo_zuko.flows:AutoregressiveFlow",
            options="genzoo_zuko.options:AutoregressiveFlowOptions",
            summary="zuko's masked autoregressive flow, with exact log-density; conditional on request",
            paper="Papamakarios et al. 2017, Masked Autoregressive Flow for Density Estimation, "
            "https://arxiv.org/abs/1705.07057",
            api="1.1",
        ),
        Component(
            "prior",
            "nsf",
            target="genzoo_zuko.flows:SplineFlow",
            options="genzoo_zuko.options:SplineFlowOptions",
            summary="zuko's neural spline flow, with exact log-density; conditional on request",
            paper="Durkan et al. 2019, Neural Spline Flows, https://arxiv.org/abs/1906.04032",
            api="1.1",
        ),
    ]
