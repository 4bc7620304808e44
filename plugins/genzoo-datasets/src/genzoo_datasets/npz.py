"""The user's own images from an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genzoo.bounded import UNREADABLE_ZIP, reason, user_path
from genzoo.errors import CorruptError, UsageError
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_datasets.division import divide
from genzoo_datasets.npz_labels import Classes, number_classes
from genzoo_datasets.options import NpzOptions

Array = np.ndarray[Any, Any]


class Npz(PixelDataset):
    """Images from the arrays of an .npz file.

    Either ``images``, with optional ``labels`` and ``factors``, divided by a seed; or ``train_images`` and
    ``test_images``, with ``train_labels`` and so on. Images are ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``,
    uint8, or float in [0, 1]; factors are integer indices ``[N, F]``, which an array ``factor_names`` may name. Labels
    ``[N]`` are whole numbers from 0 without gaps, which an array ``class_names`` may name, or words, or truth values; see
    `genzoo_datasets.npz_labels.number_classes`. Arrays of Python objects are refused, unread; other arrays are passed over,
    with a warning.
    """

    @cached_property
    def _arrays(self) -> Mapping[str, Array]:
        return load_arrays(cast(NpzOptions, self.options).path)

    @cached_property
    def _divided(self) -> bool:
        """Whether the file itself tells training from test images."""
        given = [name in self._arrays for name in ("images", "train_images", "test_images")]
        if given not in ([True, False, False], [False, True, True]):
            raise UsageError(
                "npz: the arrays must be images, or train_images and test_images, "
                f"got {', '.join(sorted(self._arrays)) or 'none'}."
            )
        return given[1]

    @cached_property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        self._refuse_two_scales()
        images, classes = self._images("train"), self._classes
        levels = 256 if images.dtype == torch.uint8 else None
        shape = tuple(images.shape[1:])
        if classes is None:
            return ImageSpec(shape, levels=levels)
        return ImageSpec(shape, classes.count, levels, classes.names)

    def _refuse_two_scales(self) -> None:
        """Refuse splits of which one has 256 grey levels and the other any number."""
        keys = list(dict.fromkeys(self._key(split, "images") for split in self.splits))
        eight_bits = {key: self._arrays[key].dtype in (np.uint8, np.bool_) for key in keys}
        if len(set(eight_bits.values())) > 1:
            told = ", ".join(f"{key} in {self._arrays[key].dtype}" for key in keys)
            raise UsageError(
                f"npz: both splits must be 8-bit, or both float in [0, 1], got {told}.",
                "Store both alike: a model of 256 levels says nothing of images between them.",
            )

    @cached_property
    def _classes(self) -> Classes | None:
        keys = self._keys("labels")
        if not keys:
            return None
        arrays = {key: self._arrays[key] for key in keys}
        return number_classes(arrays, cast(NpzOptions, self.options).classes, self._arrays.get("class_names"))

    def _keys(self, kind: str) -> list[str]:
        """The arrays of that kind, of both splits or of neither."""
        keys = list(dict.fromkeys(self._key(split, kind) for split in self.splits))
        given = [key for key in keys if key in self._arrays]
        if given and given != keys:
            absent = next(key for key in keys if key not in given)
            raise UsageError(
                f"npz: {' and '.join(keys)} must both be there or neither, got no {absent} among "
                f"{', '.join(sorted(self._arrays))}.",
                f"Add {absent}, or leave {given[0]} out.",
            )
        return given

    def warnings(self) -> list[str]:
        """See `Dataset.warnings`."""
        kinds = ("images", "labels", "factors")
        read = {key for kind in kinds for key in self._keys(kind)} | {"factor_names", "class_names"}
        unread = [key for key in self._arrays if key not in read]
        if not unread:
            return []
        told = f"npz: passed over the arrays {', '.join(unread)}"
        keys = " and ".join(dict.fromkeys(self._key(split, "labels") for split in self.splits))
        return [f"{told}; labels are read from {keys}." if self._classes is None else f"{told}."]

    @cached_property
    def factor_sizes(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One more than the largest index of each factor."""
        known = [self._integers(key) for key in self._keys("factors")]
        filled = [values for values in known if len(values)]
        sizes = tuple((torch.cat(filled).amax(0) + 1).tolist()) if filled else ()
        images = sum(map(len, known))
        if sizes and max(sizes) > images:
            raise UsageError(
                f"npz: factors must be indices of values, fewer than the {images} images, got {max(sizes) - 1}.",
                "Number the values of each factor from 0: np.unique(column, return_inverse=True)[1].",
            )
        return sizes

    @cached_property
    def factor_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The array ``factor_names``, or factor-1, factor-2 and so on."""
        count = len(self.factor_sizes)
        given = self._arrays.get("factor_names")
        if given is None:
            return tuple(f"factor-{number + 1}" for number in range(count))
        if given.shape != (count,):
            raise UsageError(f"npz: factor_names must be one a factor, {count}, got {list(given.shape)}.")
        return tuple(str(name) for name in given)

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        images = self._images(name)
        _ = self.factor_sizes
        labels = None if self._classes is None else self._classes.labels[self._key(name, "labels")]
        factors = self._integers(self._key(name, "factors")) if self._keys("factors") else None
        for kind, values in (("labels", labels), ("factors", factors)):
            if values is not None and len(values) != len(images):
                raise UsageError(f"npz: {kind} must be one a {name} image, {len(images)}, got {len(values)}.")
        whole = Split(images, labels, factors)
        return (
            whole if self._divided else whole.select(divide(len(images), cast(NpzOptions, self.options), name, labels))
        )

    def _key(self, split: str, kind: str) -> str:
        return f"{split}_{kind}" if self._divided else kind

    def _images(self, split: str) -> Tensor:
        key = self._key(split, "images")
        array = self._arrays[key]
        if array.dtype == np.bool_:
            array = array.astype(np.uint8) * np.uint8(255)
        if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
            raise UsageError(f"npz: {key} must be uint8 or float in [0, 1], got {array.dtype}.")
        if array.dtype != np.uint8:
            array = array.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(self._channels_first(key, array)))

    def _channels_first(self, key: str, array: Array) -> Array:
        if array.ndim == 3:
            return array[:, None]
        if array.ndim != 4:
            raise UsageError(f"npz: {key} must be [N, H, W], [N, H, W, C] or [N, C, H, W], got {list(array.shape)}.")
        layout = cast(NpzOptions, self.options).layout
        first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
        if layout == "auto":
            if first == last:
                raise UsageError(
                    f"npz: one axis of {key} must be 1 or 3 channels, got {list(array.shape)}.",
                    "Set layout to channels-first or channels-last." if first else "",
                )
            layout = "channels-first" if first else "channels-last"
        if not (first if layout == "channels-first" else last):
            raise UsageError(f"npz: {key} must have 1 or 3 channels {layout[9:]}, got {list(array.shape)}.")
        return array if layout == "channels-first" else array.transpose(0, 3, 1, 2)

    def _integers(self, key: str) -> Tensor:
        array = self._arrays[key]
        if not np.issubdtype(array.dtype, np.integer) or array.ndim != 2:
            raise UsageError(f"npz: {key} must be integers [N, F], got {array.dtype} {list(array.shape)}.")
        bad = (array < 0).reshape(len(array), -1).any(1)
        if bad.any():
            raise UsageError(f"npz: {key} must be 0 or more, got {array[bad][0]} at index {int(bad.argmax())}.")
        return torch.from_numpy(array.astype(np.int64))


def load_arrays(path: str) -> Mapping[str, Array]:
    """All arrays of an .npz file.

    Raises:
        UsageError: If there is no such file.
        CorruptError: If it is no .npz file, damaged, or holds Python objects.
    """
    file = user_path(path, "npz: path")
    if not path or not file.is_file():
        raise UsageError(f"npz: path must be an .npz file, got {path!r}.", "Write --data.path FILE.npz.")
    with suppress(OSError), file.open("rb") as opened:
        if not opened.read(4).startswith((b"PK\x03\x04", b"PK\x05\x06")):
            opened.seek(0)
            single = opened.read(6) == b"\x93NUMPY"
            got = "one array, as numpy.save writes it" if single else "a file of another kind"
            raise CorruptError(
                f"npz: {path} must be an .npz file, got {got}.", "Write it with numpy.savez(path, images=…, labels=…)."
            )
    try:
        # Opened here, because numpy leaves the file open where it refuses it.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (*UNREADABLE_ZIP, AttributeError, TypeError) as error:
        raise CorruptError(
            f"npz: {path} must be a whole .npz file of plain arrays, got {reason(error)}.",
            "Write it anew with numpy.savez.",
        ) from error
