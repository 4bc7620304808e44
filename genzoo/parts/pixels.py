"""A base for image datasets: it checks what was read, binarizes and augments it, so that a dataset only reads."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import cast

import torch
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
        return cast(PixelOptions, self.options)

    @property
    @abstractmethod
    def stored_spec(self) -> ImageSpec:
        """What one image is before binarization."""

    @abstractmethod
    def read(self, name: str) -> Split:
        """All images of ``"train"`` or ``"test"`` as they are stored."""

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
        how, seed = self.pixel_options.binarize, self.pixel_options.binarize_seed
        if how == "threshold":
            return replace(stored, images=binarize_above_half(stored.images))
        if how == "static" or (how == "dynamic" and name != "train"):
            return replace(stored, images=binarize_once(stored.images, seed))
        return stored

    def transform(self, image: Tensor, *, training: bool) -> Tensor:
        """See `Dataset.transform`; training images are augmented and drawn anew, others always give the same result."""
        if training:
            image = augment(image, self.pixel_options)
        if self.pixel_options.binarize != "dynamic":
            return image
        return binarize_anew(image) if training else binarize_once(image, self.pixel_options.binarize_seed)


def labels_of(values: object) -> Tensor:
    """Labels as int64 ``[N]``."""
    return torch.as_tensor(values).to(torch.int64)
