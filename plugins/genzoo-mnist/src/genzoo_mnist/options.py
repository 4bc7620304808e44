"""Options of the mnist dataset. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genzoo.parts.pixel_options import PixelOptions


class MnistOptions(PixelOptions):
    """Binarization, also as published, and augmentation."""

    binarize: Literal["none", "dynamic", "static", "threshold", "fixed"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        "none",
        description="none: grey as stored; dynamic: training pixels drawn anew each time they are seen, test pixels drawn "
        "once; static: all pixels drawn once; threshold: pixels above one half; fixed: the published files in `fixed`.",
    )
    fixed: str = Field(
        "",
        description="Folder of binarized_mnist_train.amat, _valid.amat and _test.amat, for binarize = fixed; they are not "
        "shipped.",
    )
