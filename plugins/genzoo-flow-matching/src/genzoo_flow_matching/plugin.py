"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import FIELD, Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    return [
        Component(
            kind="prior",
            name="flow-matching",
            target="genzoo_flow_matching.flow_matching:FlowMatching",
            options="genzoo_flow_matching.options:FlowMatchingOptions",
            summary="Noise carried along a learned velocity field; no density, fitted by regression",
            paper="Lipman et al. 2023, Flow Matching for Generative Modeling, https://arxiv.org/abs/2210.02747",
            companions={FIELD: "unet"},
            api="1.1",
        ),
    ]
