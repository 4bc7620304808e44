"""A base for image datasets: it checks what was read, binarizes and augments it, so that a dataset only reads."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces.dataset import Dataset
from genzoo.parts.augment import augment
from genzoo.parts.binarize import binarize_above_half, binarize_anew, binarize_once
from genzoo.parts.pixel_options import PixelOptions
from genzoo.types import ImageSpec, Split


class PixelDataset(Dataset):
    """A dataset of images with the options of `PixelOptions`.

    Subclass requirements:
        - `stored_spec`: what one image is before binarization.
        - `read`: a split as it is stored.

    Args:
        options: The dataset's options, derived from `PixelOptions`.
    """

    def __init__(self, options: PixelOptions) -> None:
        super().__init__(options)

    @property
    def pixel_options(self) -> PixelOptions:
        """The options, as what they are."""
        return cast(PixelOptions, self.options)

    @property
    @abstractmethod
    def stored_spec(self) -> ImageSpec:
        """What one image is before binarization."""

    @abstractmethod
    def read(self, name: str) -> Split:
        """All images of ``"train"`` or ``"test"`` as they are stored; memory-mapped ones have been through `settle`."""

    @property
    def spec(self) -> ImageSpec:
        """See `Dataset.spec`; binarized images have two levels."""
        binary = self.pixel_options.binarize != "none"
        return replace(self.stored_spec, levels=2) if binary else self.stored_spec

    def split(self, name: str) -> Split:
        """See `Dataset.split`; what is binarized once is binarized here."""
        if name not in self.splits:
            raise UsageError(f"dataset: split must be one of {', '.join(self.splits)}, got {name!r}.")
        stored = self.read(name)
        check_split(stored, self.stored_spec, name)
        return stored if stored.mapped else replace(stored, images=self.settle(stored.images, name))

    def settles(self, name: str) -> dict[str, Any]:
        """What `settle` does to a split, as JSON: empty where it leaves the images as they are stored."""
        how, seed = self.pixel_options.binarize, self.pixel_options.binarize_seed
        if how == "threshold":
            return {"binarize": "threshold"}
        if how == "static" or (how == "dynamic" and name != "train"):
            return {"binarize": "once", "seed": seed}
        return {}

    def settle(self, images: Tensor, name: str) -> Tensor:
        """Images of a split with what is binarized once and not anew; each image by itself."""
        match self.settles(name).get("binarize"):
            case "threshold":
                return binarize_above_half(images)
            case "once":
                return binarize_once(images, self.pixel_options.binarize_seed)
            case _:
                return images

    @property
    def transforms(self) -> bool:
        """See `Dataset.transforms`: augmented and dynamically binarized images are."""
        options = self.pixel_options
        changed = type(self).transform is not PixelDataset.transform
        return changed or bool(options.shift) or options.flip or options.binarize == "dynamic"

    def transform(self, image: Tensor, *, training: bool) -> Tensor:
        """See `Dataset.transform`; training images are augmented and drawn anew, others always give the same result."""
        if training:
            image = augment(image, self.pixel_options)
        if self.pixel_options.binarize != "dynamic":
            return image
        return binarize_anew(image) if training else binarize_once(image, self.pixel_options.binarize_seed)


def check_split(split: Split, spec: ImageSpec, name: str) -> None:
    """Refuse a split that is empty or holds values out of range, naming the first index that does.

    Args:
        split: What was read.
        spec: What one image must be.
        name: The split's name, for the error.

    Raises:
        UsageError: If there is no image, the shape differs, a pixel lies outside [0, 1] or a label outside
            [0, classes).
    """
    images, labels = split.images, split.labels
    if len(split) == 0:
        raise UsageError(f"dataset: the {name} split must hold at least one image, got none.")
    if tuple(images.shape[1:]) != spec.shape:
        raise UsageError(f"dataset: {name} images must be {list(spec.shape)}, got {list(images.shape[1:])}.")
    if images.dtype.is_floating_point:
        # Written so that a NaN is refused too.
        _refuse_first(~((images >= 0) & (images <= 1)).flatten(1).all(1), f"{name} pixels must be in [0, 1]", images)
    if labels is None:
        return
    if labels.shape != images.shape[:1]:
        raise UsageError(f"dataset: {name} labels must be one an image, {len(images)}, got {list(labels.shape)}.")
    classes = spec.classes or 0
    _refuse_first((labels < 0) | (labels >= classes), f"{name} labels must be in [0, {classes})", labels)


def _refuse_first(bad: Tensor, rule: str, values: Tensor) -> None:
    if not bad.any():
        return
    index = int(bad.nonzero()[0])
    value = values[index]
    got = f"[{value.min():g}, {value.max():g}]" if value.dim() else f"{value}"
    raise UsageError(f"dataset: {rule}, got {got} at index {index}.", "Correct or remove it.")
