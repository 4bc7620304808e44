"""Declarations of genzoo-flow-prior."""

from __future__ import annotations

from genzoo.declare import Component, Resource, hookimpl

PAPER = "Dinh et al. 2017, Density estimation using Real NVP, https://arxiv.org/abs/1605.08803"


@hookimpl
def genzoo_models() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_models`."""
    return [
        Component(
            "model",
            "realnvp",
            base="pixels",
            companions={"prior": "image-flow"},
            defaults={"space": "logit"},
            summary="A flow of images: pixels, as logits, with convolutional couplings, and an exact density of them",
            paper=PAPER,
            api="1.1",
        ),
    ]


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
            paper=PAPER,
            api="1.0",
        ),
        Component(
            "prior",
            "image-flow",
            target="genzoo_flow_prior.image_flow:ImageFlowPrior",
            options="genzoo_flow_prior.options:ImageFlowOptions",
            summary="N(0, I) bent by couplings of convolutions at several scales, for images, with exact log-density",
            paper=PAPER,
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_resources() -> list[Resource]:
    """See `genzoo.hookspecs.genzoo_resources`."""
    return [
        Resource(
            kind="run",
            name="realnvp-mnist",
            path="genzoo_flow_prior:zoo/realnvp-mnist",
            summary="RealNVP on MNIST, 12 epochs: 1.47 bits per pixel on test images",
            sha256="ed4ff8ec2bb283ca4ab0ec1909cd11e12a732cba02ba4ac7a8d23bce5f68d9c5",
        ),
    ]
