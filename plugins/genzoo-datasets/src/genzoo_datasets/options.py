"""Options of the datasets. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from genzoo.parts.pixel_options import PixelOptions

Attribute = Literal[
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
]
"""The names of CelebA's attributes, in its own order and spelling."""


class FetchedOptions(PixelOptions):
    """Options of a dataset that is fetched once and kept."""

    without_effect: ClassVar[dict[str, str]] = {"root": "it names the place where the same files are kept"}
    places: ClassVar[frozenset[str]] = frozenset({"root"})

    root: str = Field("", description="Folder to keep the files in; empty for $GENZOO_DATA, else ~/.cache/genzoo.")


class SplitOptions(PixelOptions):
    """Options of a dataset that comes without a test set."""

    test_fraction: float = Field(0.2, gt=0, lt=1, description="The part of the images that is the test set.")
    split_seed: int = Field(0, ge=0, description="Seed of the division into training and test set.")


class DecodedOptions(PixelOptions):
    """Options of a dataset that is decoded from image files."""

    without_effect: ClassVar[dict[str, str]] = {"cache": "it says where the decoded images lie, and they are the same"}

    cache: Literal["auto", "never", "always"] = Field(
        "auto",
        description="never: decode into memory at each start; always: decode once into a memory-mapped file in "
        "$GENZOO_DATA, else ~/.cache/genzoo; auto: always from 10,000 images or 256 MB on, else never.",
    )


class DigitsOptions(SplitOptions):
    """Options of `Digits`."""


class ImageFolderOptions(SplitOptions, DecodedOptions):
    """Options of `ImageFolder`."""

    acts_with: ClassVar[dict[str, dict[str, Any]]] = {**SplitOptions.acts_with, "size": {"resize": True}}
    without_effect: ClassVar[dict[str, str]] = {
        **DecodedOptions.without_effect,
        "resize": "without it, images of another size are refused",
    }
    places: ClassVar[frozenset[str]] = frozenset({"root"})

    root: str = Field("", description="The folder, or a .zip or .tar archive of it.", examples=["FOLDER"])
    size: int | None = Field(
        None, ge=1, le=4096, description="Height and width in pixels; absent for those of the first image."
    )
    resize: bool = Field(False, description="Scale and crop images to the size in place of refusing another one.")
    channels: Literal[1, 3] | None = Field(
        None, description="1 for grey, 3 for colour; absent for colour if one image is in colour."
    )

    @classmethod
    def example(cls, folder: Path) -> dict[str, Any]:
        """See `Options.example`."""
        from PIL import Image

        for index in range(20):
            file = folder / f"class-{index % 2}" / f"{index}.png"
            file.parent.mkdir(exist_ok=True)
            pixels = bytes((index * 37 + place * 11) % 256 for place in range(8 * 8 * 3))
            Image.frombytes("RGB", (8, 8), pixels).save(file)
        return {"root": str(folder)}


class CelebaOptions(FetchedOptions, DecodedOptions):
    """Options of `Celeba`."""

    acts_with: ClassVar[dict[str, dict[str, Any]]] = PixelOptions.acts_with
    without_effect: ClassVar[dict[str, str]] = {**FetchedOptions.without_effect, **DecodedOptions.without_effect}

    attribute: Attribute | None = Field(
        None, description="The attribute that labels say, 0 without it and 1 with it; absent for images without labels."
    )
    crop: int = Field(
        148, ge=8, le=178, description="Side of the square in the middle that is kept, of 178×218 pixels."
    )
    size: int = Field(64, ge=4, le=178, description="Height and width in pixels that the square is scaled to.")


class NpzOptions(SplitOptions):
    """Options of `Npz`."""

    places: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str = Field("", description="The .npz file.", examples=["FILE.npz"])
    layout: Literal["auto", "channels-first", "channels-last"] = Field(
        "auto", description="Order of the axes of images with four; auto tells it by an axis of length 1 or 3."
    )
    classes: int | None = Field(None, ge=1, description="Number of classes, needed where one has no image.")

    @classmethod
    def example(cls, folder: Path) -> dict[str, Any]:
        """See `Options.example`."""
        import numpy as np

        file = folder / "example.npz"
        images = np.random.default_rng(0).integers(256, size=(20, 8, 8, 3), dtype=np.uint8)
        np.savez(file, images=images, labels=np.arange(20) % 2)
        return {"path": str(file)}
