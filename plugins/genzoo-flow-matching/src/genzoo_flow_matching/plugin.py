"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import FIELD, Component, hookimpl

PAPER = "Lipman et al. 2023, Flow Matching for Generative Modeling, https://arxiv.org/abs/2210.02747"


@hookimpl
def genzoo_metrics() -> list[Component]:
    return [
        Component(
            kind="metric",
            name="log-prob",
            target="genzoo_flow_matching.log_prob:LogProb",
            options="genzoo_flow_matching.options:LogProbOptions",
            summary="log p(x) of test images, or a bound, with the density of flow matching along its equation",
            paper="Chen et al. 2018, Neural Ordinary Differential Equations, https://arxiv.org/abs/1806.07366",
            requires_extra=("torchdiffeq",),
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="flow-matching",
            base="pixels",
            companions={"prior": "flow-matching"},
            summary="Images carried from noise along a learned velocity field: pixels with that prior",
            paper=PAPER,
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_priors() -> list[Component]:
    return [
        Component(
            kind="prior",
            name="flow-matching",
            target="genzoo_flow_matching.flow_matching:FlowMatching",
            options="genzoo_flow_matching.options:FlowMatchingOptions",
            summary="Noise carried along a learned velocity field; no density, fitted by regression",
            paper=PAPER,
            companions={FIELD: "unet"},
            requires_extra=("torchdiffeq",),
            api="1.1",
        ),
    ]
