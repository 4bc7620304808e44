"""Options of the metrics. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options

JUDGE_ACCURACY = (
    "Accuracy on held-out training images below which the judge, and the result, is void; none: what the data set "
    "declares, or else six tenths of the errors of the nearest class mean."
)


class ElboOptions(Options):
    """Options of `Elbo`."""

    tiny: ClassVar[dict[str, Any]] = {"samples": 3}

    samples: int = Field(50, ge=2, le=100_000, description="Posterior samples an image of the second estimate.")


class ActiveUnitsOptions(Options):
    """Options of `ActiveUnits`."""

    threshold: float = Field(0.01, ge=0, description="Variance of the posterior mean above which a unit is active.")


class JudgeOptions(Options):
    """How a judge is trained; see `genzoo.parts.judge`."""

    tiny: ClassVar[dict[str, Any]] = {"judge_images": 1024, "judge_accuracy": 0.0}

    judge_accuracy: float | None = Field(None, ge=0, le=1, description=JUDGE_ACCURACY)
    judge_images: int = Field(240_000, ge=1, description="Training images that the judge sees, counting repeats.")
    judge_seed: int = Field(0, ge=0, description="Seed of the judge's weights and training.")


class ClassAccuracyOptions(JudgeOptions):
    """Options of `ClassAccuracy`."""

    tiny: ClassVar[dict[str, Any]] = {**JudgeOptions.tiny, "per_class": 8}

    per_class: int = Field(1000, ge=2, le=100_000, description="Samples a class.")


class JudgeFrechetOptions(JudgeOptions):
    """Options of `JudgeFrechet`."""

    tiny: ClassVar[dict[str, Any]] = {**JudgeOptions.tiny, "images": 64}

    images: int = Field(
        10_000, ge=2, le=1_000_000, description="Samples, and real images; fewer where there are fewer."
    )


class PrecisionRecallOptions(JudgeOptions):
    """Options of `PrecisionRecall`."""

    tiny: ClassVar[dict[str, Any]] = {**JudgeOptions.tiny, "images": 128, "nearest": 48}

    images: int = Field(10_000, ge=2, le=100_000, description="Samples, and real images; fewer where there are fewer.")
    neighbours: int = Field(3, ge=1, le=1000, description="k of precision and recall.")
    density_neighbours: int = Field(5, ge=1, le=1000, description="k of density and coverage.")
    nearest: int = Field(
        1000, ge=0, le=100_000, description="Samples that are searched for among the training images; 0 leaves it out."
    )
    pixels: Literal["mean", "draw"] = Field("mean", description="Samples are means of p(x|z), or draws from it.")


class SamplingCostOptions(Options):
    """Options of `SamplingCost`."""

    tiny: ClassVar[dict[str, Any]] = {"images": 6, "batch": 4}

    images: int = Field(1000, ge=1, le=1_000_000, description="Samples that are timed.")
    batch: int = Field(250, ge=1, le=100_000, description="Samples drawn at once.")


class BitsPerDimOptions(Options):
    """Options of `BitsPerDim`."""

    tiny: ClassVar[dict[str, Any]] = {"samples": 2}

    images: int = Field(10_000, ge=1, le=1_000_000, description="Test images; fewer where there are fewer.")
    samples: int = Field(
        1, ge=1, le=10_000, description="Posterior samples, or draws of dequantization noise, per image."
    )
