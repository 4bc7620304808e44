"""Options of the total-correlation objective. Imports no torch."""

from __future__ import annotations

from typing import Literal

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
