"""Declarations of genzoo-autoregressive."""

from __future__ import annotations

from genzoo.declare import Component, Resource, hookimpl

GPT = "Chen et al. 2020, Generative Pretraining from Pixels, ICML"


@hookimpl
def genzoo_models() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_models`."""
    return [
        Component(
            "model",
            "pixelcnn",
            base="pixels",
            companions={"prior": "autoregressive"},
            summary="Images drawn pixel by pixel: pixels with an autoregressive prior, whose log-likelihood is exact",
            paper="van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, "
            "https://arxiv.org/abs/1606.05328",
            api="1.1",
        ),
        Component(
            "model",
            "imagegpt",
            base="pixels",
            companions={"prior": "transformer"},
            summary="Images drawn pixel by pixel by a transformer: pixels with that prior, whose log-likelihood is exact",
            paper=GPT,
            api="1.1",
        ),
    ]


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
            "transformer",
            target="genzoo_autoregressive.transformer:TransformerPrior",
            options="genzoo_autoregressive.options:TransformerOptions",
            summary="A causal transformer over codes, fitted once the model is trained; uniform until then",
            paper=GPT,
            api="1.1",
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


@hookimpl
def genzoo_resources() -> list[Resource]:
    """See `genzoo.hookspecs.genzoo_resources`."""
    return [
        Resource(
            kind="run",
            name="pixelcnn-mnist",
            path="genzoo_autoregressive:zoo/pixelcnn-mnist",
            summary="A gated PixelCNN on binarized MNIST, 12 epochs: 82.97 nats on test images",
            sha256="447ed7fe1c7e3d282f12534bc69cd72bf199dd2da18c27a084ef15939ae0100d",
        ),
    ]
