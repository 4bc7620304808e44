"""Options of the report's metrics; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class CodeClassesOptions(Options):
    """Options of `genzoo_report.code_classes.CodeClasses`."""

    neighbours: int = Field(15, ge=1, le=1000, description="Neighbours that vote on the class of a code.")

    tiny: ClassVar[dict[str, Any]] = {"neighbours": 3}


class CodeStyleOptions(Options):
    """Options of `genzoo_report.code_style.CodeStyle`."""

    threshold: float = Field(0.5, gt=0, lt=1, description="Pixels above this are ink when thickness is measured.")


class ClassKeptOptions(Options):
    """Options of `genzoo_report.class_kept.ClassKept`."""

    codes: int = Field(200, ge=1, le=100_000, description="Codes (and real images) that are decoded as every class.")
    span: float = Field(3.0, gt=0, le=10, description="Reach of the traversal, in standard deviations of the prior.")
    steps: int = Field(7, ge=2, le=101, description="Steps of the traversal along each dimension.")
    least_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Accuracy on held-out training images that the judge must have; none: what the data set declares, or "
        "else six tenths of the errors of the nearest class mean.",
    )
    judge_images: int = Field(
        240_000, ge=1, le=100_000_000, description="Training images that the judge sees, counting repeats."
    )

    tiny: ClassVar[dict[str, Any]] = {"codes": 8, "steps": 3, "least_accuracy": 0.0, "judge_images": 1024}


class SharpnessOptions(Options):
    """Options of `genzoo_report.sharpness.Sharpness`."""

    images: int = Field(10_000, ge=1, le=10_000_000, description="Test images; fewer where there are fewer.")

    tiny: ClassVar[dict[str, Any]] = {"images": 8}
