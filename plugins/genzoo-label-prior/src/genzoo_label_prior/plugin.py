"""Declarations of genzoo-label-prior."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_priors`."""
    return [
        Component(
            "prior",
            "label-normal",
            target="genzoo_label_prior.label_normal:LabelNormalPrior",
            options="genzoo_label_prior.options:LabelNormalOptions",
            summary="A normal p(z|c) with a learned mean and variance for each label",
            paper="Sohn et al. 2015, Learning Structured Output Representation using Deep Conditional Generative Models",
            api="1.0",
        )
    ]
