"""Reading gzipped IDX files whose checksum is known, into memory."""

from __future__ import annotations

import gzip
import hashlib
import math
from pathlib import Path

import torch
from torch import Tensor

from genzoo.errors import CorruptError

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path, sha256: str, shape: tuple[int, ...]) -> Tensor:
    """Read a gzipped IDX file of unsigned bytes; its checksum is verified before anything is parsed.

    Args:
        path: The file.
        sha256: Of the file as it is stored, in hexadecimal.
        shape: What the file must hold.

    Returns:
        uint8 of that shape.

    Raises:
        CorruptError: If the file is absent, or its checksum, format or shape differs.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        raise CorruptError(f"mnist: {path} must exist, got no file.", _NEXT_STEP) from None
    found = hashlib.sha256(stored).hexdigest()
    if found != sha256:
        raise CorruptError(f"mnist: the SHA-256 of {path} must be {sha256}, got {found}.", _NEXT_STEP)
    content = bytearray(gzip.decompress(stored))
    header = 4 + 4 * len(shape)
    expected = bytes([0, 0, _UNSIGNED_BYTES, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    if content[:header] != expected or len(content) != header + math.prod(shape):
        raise CorruptError(f"mnist: {path} must be an IDX file of {list(shape)} unsigned bytes.", _NEXT_STEP)
    return torch.frombuffer(content, dtype=torch.uint8, offset=header).view(shape)


_NEXT_STEP = "Install it anew: pip install --force-reinstall --no-deps genzoo-mnist."
