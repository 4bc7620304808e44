"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_networks() -> list[Component]:
    return [
        Component(
            kind="network",
            name="conv",
            target="genzoo_networks.conv:Conv",
            options="genzoo_networks.options:ConvOptions",
            summary="Strided convolutions and their mirror image; for 28×28 the report's tables 1 and 2",
            paper="Le Trung et al. 2026, Variational Autoencoders: Theory, Implementation, and Conditional Extensions "
            "on MNIST, tables 1 and 2",
            api="1.0",
        ),
        Component(
            kind="network",
            name="mlp",
            target="genzoo_networks.mlp:MLP",
            options="genzoo_networks.options:MLPOptions",
            summary="Dense layers between any two shapes, plain or gated",
            api="1.0",
        ),
        Component(
            kind="network",
            name="resnet",
            target="genzoo_networks.resnet:ResNet",
            options="genzoo_networks.options:ResNetOptions",
            summary="Residual blocks at halving sides, with squeeze-excitation and self-attention on request",
            paper="He et al. 2016, Identity Mappings in Deep Residual Networks, https://arxiv.org/abs/1603.05027",
            api="1.0",
        ),
        Component(
            kind="network",
            name="unet",
            target="genzoo_networks.unet:UNet",
            options="genzoo_networks.options:UNetOptions",
            summary="A small U-Net with attention, the field of a denoiser or a flow (--field unet)",
            paper="Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, "
            "https://arxiv.org/abs/1505.04597",
            api="1.1",
        ),
    ]
