"""Options of the GAN and its objective; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from genzoo.options import Options


class GANOptions(Options):
    """Options of `genzoo_gan.gan.GAN`."""

    latent_dim: int = Field(64, ge=1, le=65536, description="Number of latent dimensions.")
    conditional: bool = Field(False, description="Draw a class on request: generator and critic read the label.")


class AdversarialOptions(Options):
    """Options of `genzoo_gan.adversarial.Adversarial`."""

    game: Literal["non-saturating", "hinge", "wgan-gp"] = Field(
        "non-saturating",
        description="What critic and generator minimise: log-probabilities, hinges, or scores with a gradient penalty.",
    )
    lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the generator; a scheduler may drive it.")
    critic_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the critic; a scheduler may drive it.")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment of both players.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment of both players.")
    critic_steps: int = Field(
        1, ge=1, le=100, description="Steps of the critic for each one of the generator; a step is a batch."
    )
    smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Real images count as real by one minus this; non-saturating game only."
    )
    penalty: float = Field(10.0, ge=0, le=1e6, description="Weight of the gradient penalty; game wgan-gp only.")

    acts_with: ClassVar[dict[str, dict[str, Any]]] = {
        "penalty": {"game": "wgan-gp"},
        "smoothing": {"game": "non-saturating"},
    }

    @model_validator(mode="after")
    def _no_option_is_dropped(self) -> Self:
        for name, needed in type(self).acts_with.items():
            if self.game != needed["game"] and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} acts in the game {needed['game']} alone, got game {self.game}. Leave it out.")
        return self


class AdversarialAEOptions(Options):
    """Options of `genzoo_gan.adversarial_ae.AdversarialAE`."""

    gamma: float = Field(10.0, ge=0, le=1e6, description="Weight of the critic's term; a scheduler may drive it.")
    critic: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (256, 256), max_length=16, description="Widths of the critic's hidden layers."
    )
    critic_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the critic; a scheduler may drive it.")

    tiny: ClassVar[dict[str, Any]] = {"critic": (8,)}


class VAEGANOptions(Options):
    """Options of `genzoo_gan.vae_gan.VAEGAN`."""

    beta: float = Field(1.0, ge=0, le=1e6, description="Weight of the rate; a scheduler may drive it.")
    adversary: float = Field(
        1.0,
        ge=0,
        le=1e6,
        description="Weight of the critic's verdict; a scheduler may drive it.",
    )
    features: int = Field(128, ge=1, le=65536, description="Features of the critic in which images are compared.")
    critic_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the critic; a scheduler may drive it.")

    tiny: ClassVar[dict[str, Any]] = {"features": 8}
