"""Options of the disentanglement metrics; the defaults are those of Locatello et al. 2019. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options

_TINY = {"images": 200, "train_points": 60, "eval_points": 40}


class FactorOptions(Options):
    """Options that every metric here has."""

    images: int = Field(
        20_000, ge=2, description="Images encoded once, at random from the factors' grid or from the splits."
    )


class TrainedOptions(FactorOptions):
    """Options of a metric that fits on some points and scores on others."""

    train_points: int = Field(10_000, ge=2, description="Points that the metric fits on.")
    eval_points: int = Field(5_000, ge=1, description="Points that it scores on.")

    tiny: ClassVar[dict[str, Any]] = _TINY


class BetaVAEScoreOptions(TrainedOptions):
    """Options of `genzoo_disentanglement.beta_vae_score.BetaVAEScore`."""

    pairs: int = Field(64, ge=1, description="Pairs of images that make one point.")

    tiny: ClassVar[dict[str, Any]] = {**_TINY, "pairs": 8}


class FactorVAEScoreOptions(TrainedOptions):
    """Options of `genzoo_disentanglement.factor_vae_score.FactorVAEScore`."""

    batch: int = Field(64, ge=2, description="Images that make one point.")
    variance_points: int = Field(10_000, ge=2, description="Images that a code's own variance is measured on.")
    prune: float = Field(0.05, ge=0, description="Codes with a smaller standard deviation are left out.")

    tiny: ClassVar[dict[str, Any]] = {**_TINY, "batch": 8, "variance_points": 100}


class MIGOptions(FactorOptions):
    """Options of `genzoo_disentanglement.mig.MIG`."""

    points: int = Field(10_000, ge=2, description="Points that mutual information is measured on.")
    bins: int = Field(20, ge=2, description="Bins of equal width of a code's range.")

    tiny: ClassVar[dict[str, Any]] = {"images": 200, "points": 100}


class DCIOptions(TrainedOptions):
    """Options of `genzoo_disentanglement.dci.DCI`."""

    classifier: Literal["gradient-boosting", "random-forest"] = Field(
        "gradient-boosting",
        description="Whose importances: gradient boosting as in the comparable studies, minutes on 40-value factors; a "
        "random forest takes seconds, and its numbers compare with themselves only.",
    )
    trees: int = Field(100, ge=1, le=10_000, description="Boosting stages, or trees of the forest.")

    tiny: ClassVar[dict[str, Any]] = {**_TINY, "trees": 3}


class SAPOptions(TrainedOptions):
    """Options of `genzoo_disentanglement.sap.SAP`."""
