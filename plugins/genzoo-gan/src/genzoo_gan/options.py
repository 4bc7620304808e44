"""Options of the GAN and its objective; imports no torch."""

from __future__ import annotations

from pydantic import Field

from genzoo.options import Options


class GANOptions(Options):
    """Options of `genzoo_gan.gan.GAN`."""

    latent_dim: int = Field(64, ge=1, le=65536, description="Number of latent dimensions.")
    conditional: bool = Field(False, description="Draw a class on request: generator and critic read the label.")


class AdversarialOptions(Options):
    """Options of `genzoo_gan.adversarial.Adversarial`."""

    lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the generator; a scheduler may drive it.")
    critic_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the critic; a scheduler may drive it.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment of both players.")
    smoothing: float = Field(0.0, ge=0, lt=0.5, description="Real images count as real by one minus this.")
