"""Options of the sprites dataset. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.parts.pixel_options import PixelOptions


class SpritesOptions(PixelOptions):
    """Options of `genzoo_sprites.sprites.Sprites`, with binarization and augmentation."""

    images: int = Field(20_000, ge=1, description="Training images, drawn from the grid without replacement.")
    test_images: int = Field(5_000, ge=1, description="Test images, none of them the same as a training image.")
    seed: int = Field(0, ge=0, description="Seed of the draw from the grid.")
    size: int = Field(64, ge=16, le=512, multiple_of=4, description="Height and width in pixels.")
    scales: int = Field(6, ge=1, le=64, description="Values of the scale, from half to full size.")
    orientations: int = Field(40, ge=1, le=360, description="Values of the orientation, around the full circle.")
    positions: int = Field(32, ge=1, le=256, description="Values of x and of y, at most half the size.")

    tiny: ClassVar[dict[str, Any]] = {
        "images": 96,
        "test_images": 32,
        "size": 16,
        "scales": 2,
        "orientations": 4,
        "positions": 4,
    }
