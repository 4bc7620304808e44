"""Declarations of genzoo-vq-vae."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl

PAPER = "van den Oord et al. 2017, Neural Discrete Representation Learning, https://arxiv.org/abs/1711.00937"


@hookimpl
def genzoo_models() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_models`."""
    return [
        Component(
            "model",
            "vq-vae",
            target="genzoo_vq_vae.vq_vae:VQVAE",
            options="genzoo_vq_vae.options:VQVAEOptions",
            summary="The vector-quantised VAE: a map of discrete codes, an autoregressive prior fitted afterwards",
            companions={
                "prior": "autoregressive",
                # σ² = v/2 with the pixel variance v of MNIST makes the distortion MSE/v, summed over pixels.
                "likelihood": ("gaussian", {"scale": 0.22}),
            },
            paper=PAPER,
            api="1.0",
        ),
        Component(
            "model",
            "vq-transformer",
            base="vq-vae",
            companions={"prior": "transformer"},
            summary="The VQ-VAE with a transformer over its codes",
            paper="Esser et al. 2021, Taming Transformers for High-Resolution Image Synthesis, "
            "https://arxiv.org/abs/2012.09841",
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_metrics() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_metrics`."""
    return [
        Component(
            "metric",
            "codebook-perplexity",
            target="genzoo_vq_vae.perplexity:CodebookPerplexity",
            options="genzoo_vq_vae.options:BatchOptions",
            summary="Perplexity, usage and entropy of the codes, and what the prior spends on one",
            paper=PAPER,
            api="1.0",
        ),
        Component(
            "metric",
            "reconstruction-mse",
            target="genzoo_vq_vae.reconstruction_mse:ReconstructionMSE",
            options="genzoo_vq_vae.options:BatchOptions",
            summary="Mean squared error of reconstructions, raw and over the pixels' variance",
            paper=PAPER,
            api="1.0",
        ),
    ]


@hookimpl
def genzoo_visualizers() -> list[Component]:
    """See `genzoo.hookspecs.genzoo_visualizers`."""
    return [
        Component(
            "visualizer",
            "codes",
            target="genzoo_vq_vae.code_maps:CodeMaps",
            options="genzoo_vq_vae.options:CodeMapsOptions",
            summary="Images, the codes they become drawn as images, and what is decoded from them",
            paper=PAPER,
            api="1.0",
        )
    ]
