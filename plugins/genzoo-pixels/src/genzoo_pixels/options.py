"""Options of the pixels model; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.options import Options


class PixelsOptions(Options):
    """Options of `genzoo_pixels.pixels.Pixels`."""

    space: Literal["centred", "logit"] = Field(
        "centred",
        description="Where dequantized grey levels lie: between -1 and 1, or on the whole line by a logit transform.",
    )
    levels: Literal["auto", "real", "categorical"] = Field(
        "auto",
        description="Grey levels as dequantized real numbers or as integers; auto: what the prior supports, real where "
        "it supports both.",
    )

    tiny: ClassVar[dict[str, Any]] = {}
