"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import NOT_TAKEN, Component, Resource, hookimpl


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="gan",
            target="genzoo_gan.gan:GAN",
            options="genzoo_gan.options:GANOptions",
            summary="A generator trained against a critic; it has latents, and no encoder or likelihood",
            paper="Goodfellow et al. 2014, Generative Adversarial Nets, https://arxiv.org/abs/1406.2661",
            companions={
                "loss": "adversarial",
                "likelihood": NOT_TAKEN,
                "network": ("conv", {"initialisation": "torch"}),
            },
            api="1.1",
        ),
        Component(
            kind="model",
            name="wgan-gp",
            base="gan",
            companions={
                "loss": (
                    "adversarial",
                    {"game": "wgan-gp", "critic_steps": 5, "lr": 1e-4, "critic_lr": 1e-4, "beta1": 0, "beta2": 0.9},
                ),
            },
            summary="The GAN whose critic estimates a Wasserstein distance, with a gradient penalty",
            paper="Gulrajani et al. 2017, Improved Training of Wasserstein GANs, https://arxiv.org/abs/1704.00028",
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_losses() -> list[Component]:
    return [
        Component(
            kind="loss",
            name="adversarial",
            target="genzoo_gan.adversarial:Adversarial",
            options="genzoo_gan.options:AdversarialOptions",
            summary="The game of a generator and a critic: non-saturating, hinge, or Wasserstein with gradient penalty",
            paper="Goodfellow et al. 2014, Generative Adversarial Nets, section 3, https://arxiv.org/abs/1406.2661",
            api="1.1",
        ),
        Component(
            kind="loss",
            name="adversarial-ae",
            target="genzoo_gan.adversarial_ae:AdversarialAE",
            options="genzoo_gan.options:AdversarialAEOptions",
            summary="Distortion, and a critic that holds the codes to the prior, instead of the rate",
            paper="Makhzani et al. 2016, Adversarial Autoencoders, https://arxiv.org/abs/1511.05644",
            api="1.1",
        ),
        Component(
            kind="loss",
            name="vae-gan",
            target="genzoo_gan.vae_gan:VAEGAN",
            options="genzoo_gan.options:VAEGANOptions",
            summary="Rate, distortion in a critic's features, and the critic's verdict on reconstructions and samples",
            paper="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric, "
            "https://arxiv.org/abs/1512.09300",
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_resources() -> list[Resource]:
    """See `genzoo.hookspecs.genzoo_resources`."""
    return [
        Resource(
            kind="run",
            name="gan-mnist",
            path="genzoo_gan:zoo/gan-mnist",
            summary="A conditional GAN on MNIST, 40 epochs: judge-Fréchet 2.7, where real images have 1.4",
            sha256="66f08175b3643b0efbee84aaf3e75c5488d58b60d98287e7176e1da737c8933e",
        ),
    ]
