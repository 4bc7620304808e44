"""Options of the visualizers; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options

_TWO_DIMENSIONS = "a latent of two dimensions is drawn whole, as a grid; it acts on one of more dimensions"


class TrainingCurvesOptions(Options):
    """Options of `TrainingCurves`."""

    scale: Literal["linear", "log"] = Field("linear", description="Scale of the vertical axes.")
    third: Literal["elbo", "ratio"] = Field(
        "elbo", description="The panel beside distortion and rate: the elbo, or D / R as in the report's figure 1."
    )


class ReconstructionsOptions(Options):
    """Options of `Reconstructions`."""

    count: int = Field(20, ge=1, le=1000, description="Number of images, spread evenly over the classes.")
    columns: int = Field(10, ge=1, le=50, description="Images a row.")
    codes: Literal["mean", "sample"] = Field(
        "mean", description="Decode the posterior mean, or one sample of the posterior."
    )
    split: Literal["test", "train"] = Field("test", description="Split that the images are taken from.")

    tiny: ClassVar[dict[str, Any]] = {"count": 4, "columns": 2}


class SamplesOptions(Options):
    """Options of `Samples`."""

    count: int = Field(80, ge=1, le=5000, description="Number of samples.")
    columns: int = Field(10, ge=1, le=50, description="Samples a row.")
    pixels: Literal["mean", "draw"] = Field("mean", description="Show the likelihood's mean, or a draw from it.")

    tiny: ClassVar[dict[str, Any]] = {"count": 6, "columns": 3}


class LatentScatterOptions(Options):
    """Options of `LatentScatter`."""

    points: int = Field(5000, ge=1, le=200_000, description="Number of images encoded.")
    projection: Literal["auto", "pca", "tsne", "umap"] = Field(
        "auto",
        description="How a latent of more than two dimensions is brought to two; auto: two are drawn as they are, "
        "more by principal components. umap needs the extra of that name.",
    )
    perplexity: float = Field(
        30, ge=2, le=10_000, description="Neighbours of a point that t-SNE (its perplexity) and UMAP look at."
    )
    level: int = Field(0, ge=0, le=31, description="Level of latents, 0 at the top.")
    split: Literal["test", "train"] = Field("test", description="Split that the images are taken from.")

    tiny: ClassVar[dict[str, Any]] = {"points": 30, "perplexity": 5}
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {"perplexity": {"projection": "tsne"}}


class TraversalOptions(Options):
    """Options of `Traversal`."""

    span: float = Field(3, gt=0, le=20, description="Reach of an axis to both sides, in prior standard deviations.")
    steps: int = Field(13, ge=2, le=41, description="Images along an axis.")
    rows: int = Field(
        10, ge=1, le=100, description="Greatest number of dimensions drawn, for a latent of more than two."
    )
    order: Literal["rate", "index"] = Field(
        "rate", description="Which dimensions come first: those with the highest rate, or as they are counted."
    )
    start: Literal["image", "prior"] = Field(
        "image", description="Values of the other dimensions: the code of a test image, or the prior's mean."
    )
    label: int | None = Field(None, ge=0, description="The class that a conditional model decodes; 0 when absent.")

    tiny: ClassVar[dict[str, Any]] = {"steps": 3}
    without_effect: ClassVar[dict[str, str]] = dict.fromkeys(("rows", "order", "start"), _TWO_DIMENSIONS)


class InterpolationOptions(Options):
    """Options of `Interpolation`."""

    steps: int = Field(10, ge=2, le=30, description="Images along a path, both ends among them.")
    pairs: int = Field(6, ge=1, le=50, description="Number of paths.")
    path: Literal["both", "linear", "spherical"] = Field(
        "both", description="Straight lines, great arcs, or one figure of each."
    )
    source: int = Field(3, ge=0, description="Class that the first row starts from, where there are labels.")
    target: int = Field(8, ge=0, description="Class that the first row goes to, where there are labels.")
    levels: Literal["all", "top"] = Field(
        "all", description="Interpolate every level of latents, or the top one with the mean of the others."
    )

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "pairs": 2, "source": 0, "target": 1}
    without_effect: ClassVar[dict[str, str]] = {
        "levels": "a model of one level has only its top one; it acts on hierarchical models"
    }


class ClassGridOptions(Options):
    """Options of `ClassGrid`."""

    count: int = Field(10, ge=1, le=50, description="Samples of each class.")
    pixels: Literal["mean", "draw"] = Field("mean", description="Show the likelihood's mean, or a draw from it.")

    tiny: ClassVar[dict[str, Any]] = {"count": 3}


class ClassSwapOptions(Options):
    """Options of `ClassSwap`."""

    styles: int = Field(8, ge=1, le=100, description="Number of latents, one a row.")
    spread: bool = Field(
        True, description="Take the latents that lie farthest apart among four times as many draws of the prior."
    )

    tiny: ClassVar[dict[str, Any]] = {"styles": 2}


class ClassInterpolationOptions(Options):
    """Options of `ClassInterpolation`."""

    first: int = Field(1, ge=0, description="Class of the upper row of each pair.")
    second: int = Field(7, ge=0, description="Class of the lower row of each pair.")
    steps: int = Field(10, ge=2, le=30, description="Images along a path, both ends among them.")
    paths: int = Field(3, ge=1, le=50, description="Number of paths, each decoded as both classes.")

    tiny: ClassVar[dict[str, Any]] = {"steps": 3, "paths": 1, "first": 0, "second": 1}


class StyleTransferOptions(Options):
    """Options of `StyleTransfer`."""

    count: int = Field(10, ge=1, le=100, description="Number of test images, spread evenly over the classes.")

    tiny: ClassVar[dict[str, Any]] = {"count": 2}


class ClassTraversalOptions(Options):
    """Options of `ClassTraversal`."""

    span: float = Field(3, gt=0, le=20, description="Reach of an axis to both sides, in prior standard deviations.")
    steps: int = Field(7, ge=2, le=41, description="Images along an axis.")
    dimensions: int = Field(
        2, ge=1, le=10, description="Latent dimensions drawn side by side, those with the highest rate first."
    )

    tiny: ClassVar[dict[str, Any]] = {"steps": 3}


class ExplorerOptions(Options):
    """Options of `Explorer`."""

    span: float = Field(3, gt=0, le=20, description="Reach of the plane to both sides, in prior standard deviations.")
    codes: int = Field(400, ge=1, le=5000, description="Test images that are shown as dots.")
    units: int = Field(
        8, ge=2, le=32, description="Latent dimensions with a slider, those with the highest rate first."
    )
    megabytes: float = Field(
        4,
        gt=0,
        le=64,
        description="What the decoder's weights may take in the page; a larger network gets a sheet of images instead.",
    )

    tiny: ClassVar[dict[str, Any]] = {"codes": 6}
    without_effect: ClassVar[dict[str, str]] = {
        "units": "a latent of two dimensions has a slider for each; it acts on one of more dimensions",
        "megabytes": "it acts on networks that are larger than it allows",
    }


class NearestOptions(Options):
    """Options of `Nearest`."""

    count: int = Field(8, ge=1, le=200, description="Number of samples, each a row.")
    neighbours: int = Field(7, ge=1, le=50, description="Training images beside each sample.")
    space: Literal["pixels", "judge"] = Field(
        "pixels", description="Near in pixels, or in the features of a classifier of the same data."
    )
    judge_images: int = Field(240_000, ge=1, description="Training images that the judge sees, counting repeats.")

    tiny: ClassVar[dict[str, Any]] = {"count": 3, "neighbours": 2, "judge_images": 2048}
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {"judge_images": {"space": "judge"}}


class DenoisingOptions(Options):
    """Options of `Denoising`."""

    count: int = Field(8, ge=1, le=200, description="Number of samples, each a row.")
    states: int = Field(9, ge=2, le=100, description="States of each; all where the sampler takes fewer steps.")

    tiny: ClassVar[dict[str, Any]] = {"count": 2, "states": 3}
