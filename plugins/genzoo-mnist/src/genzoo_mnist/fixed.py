"""The MNIST images that Larochelle binarized, from the text files that a user has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genzoo.bounded import user_path
from genzoo.errors import CorruptError, UsageError
from genzoo.types import Split

COUNTS = {"train": 50_000, "valid": 10_000, "test": 10_000}
"""Images of each file."""

_PIXELS = 28 * 28


def find_files(folder: str) -> dict[str, Path]:
    """The three files, by name.

    Raises:
        UsageError: If no folder is given, or one of them is not in it.
    """
    names = {name: f"binarized_mnist_{name}.amat" for name in COUNTS}
    if not folder:
        raise UsageError(
            f"mnist: fixed must be the folder of {', '.join(names.values())}, got none.", "Add --data.fixed FOLDER."
        )
    found = {name: user_path(folder, "mnist: fixed") / file for name, file in names.items()}
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        raise UsageError(
            f"mnist: fixed must be the folder of {', '.join(names.values())}, got {folder!r} without {', '.join(missing)}.",
            "Put the files there, uncompressed; they are not shipped with genzoo.",
        )
    return found


def read_files(files: Mapping[str, Path], name: str) -> Split:
    """``"train"``, the training and then the validation images, or ``"test"``; without labels.

    Raises:
        CorruptError: If a file does not hold as many binary images as it should.
    """
    parts = ("train", "valid") if name == "train" else ("test",)
    return Split(torch.cat([_read(files[part], COUNTS[part]) for part in parts]))


def _read(path: Path, count: int) -> Tensor:
    """Images of one file, a line of 784 zeros and ones each, as uint8 0 or 255 ``[N, 1, 28, 28]``."""
    text = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    digit = (text == ord("0")) | (text == ord("1"))
    space = (text == ord(" ")) | (text == ord("\n")) | (text == ord("\r")) | (text == ord("\t"))
    if not (digit | space).all():
        place = int((~(digit | space)).argmax())
        raise _corrupt(path, f"zeros and ones apart by spaces alone, got byte {int(text[place])} at {place}")
    if (digit[1:] & digit[:-1]).any():
        raise _corrupt(path, "zeros and ones apart by spaces alone, got digits side by side")
    if int(digit.sum()) != count * _PIXELS:
        raise _corrupt(path, f"{count} images of {_PIXELS} pixels, got {int(digit.sum())} pixels")
    lines = np.add.reduceat(digit, np.flatnonzero(np.r_[True, text[:-1] == ord("\n")]))
    uneven = lines[(lines != 0) & (lines != _PIXELS)]
    if len(uneven):
        raise _corrupt(path, f"one image of {_PIXELS} pixels per line, got a line of {int(uneven[0])}")
    return torch.from_numpy((text[digit] == ord("1")).astype(np.uint8) * 255).reshape(count, 1, 28, 28)


def _corrupt(path: Path, rule: str) -> CorruptError:
    return CorruptError(f"mnist: {path} must hold {rule}.", "Get the file again.")
