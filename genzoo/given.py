"""Images, labels and numbers as Python callers have them: taken where the meaning is clear, refused in words elsewhere.

Arrays of numpy, tensors of any device, lists and whatever else numpy makes an array of are taken alike.
"""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genzoo import storage
from genzoo.bounded import user_path
from genzoo.errors import UsageError
from genzoo.recipe import Part
from genzoo.types import ImageSpec

Array = np.ndarray[Any, Any]

ARRAYS = "arrays"
"""Folder, below that of the runs, of the data that were given as arrays; several runs on the same arrays share a file."""

_HOW = "Pass data=images, data=(images, labels) or data={'train': …, 'test': …}; a dataset by name, or (name, options)."
_SPLITS = ("train", "test")


def images_of(value: Any, spec: ImageSpec, what: str = "encode") -> Tensor:
    """Images as a model reads them.

    Args:
        value: uint8 (0 to 255), truth values, or numbers in [0, 1]: ``[N, C, H, W]``, ``[N, H, W, C]``, ``[N, H, W]`` for
            images of one channel, or one image without N.
        spec: What one image must be.
        what: The operation, for errors.

    Returns:
        float32 ``[N, C, H, W]`` in [0, 1], on the CPU or where the tensor was.

    Raises:
        UsageError: If the shape, the type or a value is another.
    """
    images = _tensor(value, f"{what}: image")
    if images.dtype in (torch.uint8, torch.bool):
        images = images.float() / (255 if images.dtype == torch.uint8 else 1)
    elif not images.is_floating_point():
        raise UsageError(
            f"{what}: image must be uint8 (0 to 255) or floats in [0, 1], got {_name(images.dtype)}.",
            "Convert it to uint8, or divide it by its largest value.",
        )
    images = _channels_first(images.float(), spec, what)
    bad = ~((images >= 0) & (images <= 1)).flatten(1).all(1)
    if bad.any():
        index = int(bad.nonzero()[0])
        found = images[index]
        values = "NaN" if bool(found.isnan().any()) else f"[{float(found.min()):g}, {float(found.max()):g}]"
        raise UsageError(
            f"{what}: image must be in [0, 1], got {values} at index {index}.", "Divide by 255, or pass uint8."
        )
    return images


def labels_of(value: Any, n: int, spec: ImageSpec, what: str = "sample") -> Tensor:
    """Labels as a model reads them.

    Args:
        value: One label for all, or one an image: whole numbers or names of classes; vectors where images have conditions.
        n: How many images there are.
        spec: Whose classes they are.
        what: The operation, for errors.

    Returns:
        int64 ``[n]``, or float32 ``[n, C]`` of conditions, on the CPU.

    Raises:
        UsageError: If a label is no class, or their number is another.
    """
    classes = spec.classes or 0
    found = _array(value, f"{what}: label")
    if spec.conditions:
        return _conditions(found, n, spec, what)
    if found.dtype.kind in "US":
        numbers = {spec.class_name(index): index for index in reversed(range(classes))}
        unknown = sorted({str(name) for name in found.astype(str).flat} - set(numbers))
        if unknown:
            shown = ", ".join(list(reversed(numbers))[:20])
            raise UsageError(f"{what}: label must be one of the classes {shown}, got {unknown[0]!r}.")
        found = np.vectorize(lambda name: numbers[str(name)], otypes=[np.int64])(found.astype(str))
    if found.dtype.kind == "f" and bool((found == np.floor(found)).all()):
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise UsageError(f"{what}: label must be a whole number or a class's name, got {found.dtype}.")
    if found.ndim == 0:
        found = np.full(n, found)
    if found.ndim != 1 or len(found) != n:
        got = len(found) if found.ndim == 1 else list(found.shape)
        raise UsageError(f"{what}: label must be one a sample, {n}, got {got}.")
    outside = (found < 0) | (found >= classes)
    if outside.any():
        raise UsageError(f"{what}: label must be in 0 to {classes - 1}, got {found[outside][0]}.")
    return torch.from_numpy(found.astype(np.int64))


def _conditions(found: np.ndarray, n: int, spec: ImageSpec, what: str) -> Tensor:
    size = len(spec.conditions)
    if found.dtype.kind not in "biuf" or found.shape not in {(size,), (n, size)}:
        named = ", ".join(spec.conditions[:10]) + (", …" if size > 10 else "")
        raise UsageError(
            f"{what}: label must be {size} numbers per sample ({named}), got {found.dtype} {list(found.shape)}."
        )
    return torch.from_numpy(np.broadcast_to(found.astype(np.float32), (n, size)).copy())


def whole(value: Any, what: str, least: int = 0) -> int:
    """A whole number, as Python's, numpy's or a tensor's; ``what`` names it, as ``"sample: n"``.

    Raises:
        UsageError: If it is none, or below ``least``.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} must be a whole number, got {value!r}.") from None
    if not least <= number < 2**63:
        raise UsageError(f"{what} must be at least {least}, got {number}.")
    return number


def data_part(data: Any, out: Path) -> tuple[Part, Path | None]:
    """The dataset of what a caller gave as data.

    Arrays go into ``out/arrays/DIGEST.npz``, where the dataset ``npz`` reads them, so that the run can be resumed and
    looked at like any other.

    Args:
        data: A name; (name, options); the path of an .npz file, or of a folder or archive of images; images;
            (images, labels), or with factors (images, labels, factors); or these by split.
        out: Folder of runs.

    Returns:
        The dataset, and the file if this call has written it.

    Raises:
        UsageError: If it is none of these.
    """
    if isinstance(data, str):
        return Part(name=data), None
    if isinstance(data, os.PathLike):
        path = Path(cast("os.PathLike[str]", data))
        name, option = ("npz", "path") if path.suffix == ".npz" else ("image-folder", "root")
        return Part(name=name, options={option: str(path)}), None
    if isinstance(data, (tuple, list)) and len(data) == 2 and isinstance(data[0], str) and isinstance(data[1], Mapping):
        return Part(name=data[0], options=dict(data[1])), None
    arrays = _arrays(data)
    path = user_path(out, "run: out") / ARRAYS / f"{_digest(arrays)}.npz"
    part = Part(name="npz", options={"path": str(path)})
    if path.is_file():
        return part, None
    if not path.parent.is_dir():
        storage.make_folder(path.parent)
    storage.replace_with(path, lambda file: np.savez(file, **cast("dict[str, Any]", arrays)))
    return part, path


@contextmanager
def held(data: Any, out: Path) -> Generator[Part]:
    """A block with the dataset of `data_part`; a file that was written for it stays if a run reads it."""
    existed = out.exists()
    part, written = data_part(data, out)
    try:
        yield part
    except BaseException:
        if written is not None and not any(
            written.name in file.read_text(encoding="utf-8") for file in out.glob("*/*/config.toml")
        ):
            written.unlink(missing_ok=True)
            with suppress(OSError):  # Others lie there too.
                written.parent.rmdir()
                if not existed:
                    out.rmdir()
        raise


def _arrays(data: Any) -> dict[str, Array]:
    """Arrays as the dataset ``npz`` names them."""
    if not isinstance(data, Mapping):
        return _split(data, "")
    if set(data) != set(_SPLITS):
        given = ", ".join(map(repr, data)) or "none"
        raise UsageError(f"run: data by split must have 'train' and 'test', got {given}.", _HOW)
    found = {split: _split(data[split], f"{split}_") for split in _SPLITS}
    kinds = [sorted(name.removeprefix(f"{split}_") for name in arrays) for split, arrays in found.items()]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"run: data must have the same in both splits, got {kinds[0]} in train and {kinds[1]} in test."
        )
    return {name: array for arrays in found.values() for name, array in arrays.items()}


def _split(data: Any, prefix: str) -> dict[str, Array]:
    parts = data if isinstance(data, tuple) else (data,)
    if not 1 <= len(parts) <= 3:
        raise UsageError(
            f"run: data must be (images, labels) or (images, labels, factors), got {len(parts)} arrays.", _HOW
        )
    images = _pixels(parts[0])
    arrays = {f"{prefix}images": images}
    for name, value in zip(("labels", "factors"), parts[1:], strict=False):
        if value is None:
            continue
        array = _array(value, f"run: {name}")
        if array.dtype.kind == "f" and bool((array == np.floor(array)).all()):
            array = array.astype(np.int64)
        shape = "[N]" if name == "labels" else "[N, F]"
        if array.ndim != len(shape.split(",")) or len(array) != len(images) or array.dtype.kind not in "iubUS":
            raise UsageError(
                f"run: {name} must be {shape} with one row for each of the {len(images)} images, "
                f"got {array.dtype} {list(array.shape)}.",
                _HOW if name == "labels" else "",
            )
        arrays[f"{prefix}{name}"] = array
    return arrays


def _pixels(value: Any) -> Array:
    if isinstance(value, (torch.utils.data.Dataset, torch.utils.data.DataLoader)):
        raise UsageError(f"run: data must be arrays, got a {type(value).__name__} of torch.", _HOW)
    images = _array(value, "run: data")
    if images.dtype.kind not in "fub" or (images.dtype.kind == "u" and images.dtype != np.uint8):
        raise UsageError(f"run: images must be uint8 (0 to 255) or floats in [0, 1], got {images.dtype}.", _HOW)
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise UsageError(
            f"run: images must be [N, H, W], [N, H, W, C] or [N, C, H, W], got {list(images.shape)}.", _HOW
        )
    if images.dtype.kind == "f":
        images = images.astype(np.float32)
        bad = ~((images >= 0) & (images <= 1)).reshape(len(images), -1).all(1)
        if bad.any():
            index = int(bad.argmax())
            low, high = images[index].min(), images[index].max()
            raise UsageError(
                f"run: images must be in [0, 1], got [{low:g}, {high:g}] at index {index}.",
                "Divide by 255, or pass uint8.",
            )
    return images


def _channels_first(images: Tensor, spec: ImageSpec, what: str) -> Tensor:
    channels, height, width = spec.shape
    shape = tuple(images.shape)
    if len(shape) == 4 and shape[1:] == spec.shape:
        return images
    if shape == spec.shape:
        return images[None]
    if channels == 1 and shape[-2:] == (height, width) and len(shape) in (2, 3):
        return images.reshape(-1, 1, height, width)
    if len(shape) in (3, 4) and shape[-3:] == (height, width, channels):
        return images.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
    wanted = ", ".join(map(str, spec.shape))
    raise UsageError(f"{what}: image must be [N, {wanted}], got {list(shape)}.")


def _tensor(value: Any, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        array = _array(value, what)
        if array.dtype.kind in "USmM":
            raise UsageError(f"{what} must be numbers, got {array.dtype}.")
        # What cannot be written or is reversed is copied, since a tensor cannot be either.
        plain = array.flags.writeable and all(stride >= 0 for stride in array.strides)
        return torch.from_numpy(array if plain else array.copy())
    found = value.detach()
    if found.is_meta or found.is_complex() or found.is_quantized:
        raise UsageError(f"{what} must be a tensor of real numbers, got {_name(found.dtype)} on {found.device}.")
    return found.to_dense() if found.layout != torch.strided else found


def _array(value: Any, what: str) -> Array:
    """An array of numbers, truth values or text, in the byte order of this machine."""
    if isinstance(value, Tensor):
        dense = _tensor(value, what)
        value = dense.cpu().float() if dense.dtype == torch.bfloat16 else dense.cpu()
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
        value = [_array(item, what) for item in value]
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise UsageError(f"{what} must be an array without a mask, got one.", "Fill it: array.filled(value).")
    try:
        array: Array = np.asarray(value)
    except Exception as error:  # Whatever the caller's object raises; ragged lists are a ValueError.
        raise UsageError(f"{what} must be an array, got {type(value).__name__}: {error}.") from None
    if array.dtype.kind in "cOV" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        if array.dtype.kind != "f":
            raise UsageError(f"{what} must be numbers, got {type(value).__name__} of {array.dtype}.")
        array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _digest(arrays: Mapping[str, Array]) -> str:
    told = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        told.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        told.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return told.hexdigest()[:32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
