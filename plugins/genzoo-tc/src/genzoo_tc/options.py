"""Options of the total-correlation objective. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options


class BetaTCOptions(Options):
    """Options of `genzoo_tc.beta_tc.BetaTC`."""

    alpha: float = Field(1.0, ge=0, description="Weight of the mutual information of image and latent.")
    beta: float = Field(6.0, ge=0, description="Weight of the total correlation; a scheduler may drive it.")
    gamma: float = Field(1.0, ge=0, description="Weight of the dimension-wise KL.")
    sampling: Literal["weighted", "stratified"] = Field(
        "weighted",
        description="Minibatch estimate of q(z): weighted as in the paper's experiments, or stratified, unbiased.",
    )


class FactorVAEOptions(Options):
    """Options of `genzoo_tc.factor_vae.FactorVAE`."""

    beta: float = Field(1.0, ge=0, le=1e6, description="Weight of the rate; a scheduler may drive it.")
    gamma: float = Field(10.0, ge=0, le=1e6, description="Weight of the total correlation; a scheduler may drive it.")
    critic: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (256, 256, 256), max_length=16, description="Widths of the critic's hidden layers."
    )
    critic_lr: float = Field(1e-4, gt=0, le=1, description="Learning rate of the critic; a scheduler may drive it.")

    tiny: ClassVar[dict[str, Any]] = {"critic": (8,)}
