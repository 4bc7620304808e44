"""The interface of a dataset: images in [0, 1], with optional labels and ground-truth factors, split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from genzoo.options import Options
from genzoo.types import ImageSpec, Split


class Dataset(ABC):
    """Images with optional labels and factors, in the splits ``train`` and ``test``.

    Subclass requirements:
        - ``spec``: an `ImageSpec`, known once constructed, before any split is read where that is possible.
        - `split`: the whole split, in memory or memory-mapped (`genzoo.parts.decoded`), the same at each call.
        - Optionally `transform` (augmentation, dynamic binarization) and ``factor_names``, ``factor_sizes``.
        - Optionally ``judge_accuracy``: the accuracy on held-out training images, in [0, 1], that a classifier must have
          to judge samples of this data (`genzoo.parts.judge`). None: at most 0.6 of the nearest class mean's errors.
        - Optionally `render`, where images are made from their factors, and `identifiable`, where several combinations of
          factors give the same image.
        - Optionally `names`, where images come from files.
        - Optionally `describe` and `warnings`, where the data are the user's own.
        - Optionally ``labels_unseen``: why the images do not show their labels, where they do not.
        - Optionally ``licence``: that of the images, an SPDX identifier or a few words; empty where it is not known.

    Args:
        options: The plugin's options.
    """

    licence: ClassVar[str] = ""
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()
    splits: tuple[str, ...] = ("train", "test")
    judge_accuracy: float | None = None
    labels_unseen: str = ""
    """Why the images do not show their labels, such as "drawn at random" or "the time of day". Empty: they do, and the
    contract kit refuses labels that the nearest training image names no better than chance."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """What one image is."""

    @abstractmethod
    def split(self, name: str) -> Split:
        """All images of ``"train"`` or ``"test"``.

        Raises:
            CorruptError: If a file fails its checksum or format.
            UsageError: If there is no such split.
        """

    def describe(self) -> Sequence[str]:
        """Where the images were found and how they are laid out, line by line; `genzoo.parts.described` words a split.

        Said before a run trains, and by a dry run, so that no image should be fetched or decoded for it. Without it a run
        says how many images of which class its splits have.
        """
        return ()

    def warnings(self) -> Sequence[str]:
        """What is no part of the images and what was lost in reading them, one sentence each, with the number of files.

        Each is said once, as a warning, before a run trains, and kept in its record.
        """
        return ()

    def transform(self, image: Tensor, *, training: bool) -> Tensor:
        """Change a batch of images ``[B, C, H, W]`` in [0, 1] as it is drawn; the random state is seeded by the engine."""
        return image

    @property
    def transforms(self) -> bool:
        """Whether `transform` changes images; where it does not, what is computed of them once may be kept."""
        return type(self).transform is not Dataset.transform

    def names(self, split: str) -> Sequence[str] | None:
        """What the images of a split are called, one name an image in the split's order; None where they have no names."""
        return None

    @property
    def implementation(self) -> type[Dataset]:
        """The class that reads the images; what stands for a dataset gives the class of that."""
        return type(self)

    def render(self, factors: Tensor) -> Split | None:
        """Images of any combination of factor values, for data that is made from its factors; None for other data.

        Args:
            factors: int64 ``[N, F]`` indices, one row an image.
        """
        return None

    def identifiable(self, factors: Tensor) -> Tensor:
        """The factors as far as an image tells them: combinations that give the same image get the same row.

        A square that is turned by a quarter is the same image, so no code of it can tell the two orientations apart, and
        a score that asks for it has a ceiling below 1. By default every combination is its own.

        Args:
            factors: int64 ``[N, F]`` indices, one row an image.

        Returns:
            int64 ``[N, F]``: of each image's combinations always the same one.
        """
        return factors
