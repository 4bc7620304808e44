"""Reading gzipped IDX files, the format of MNIST and its relatives, whose checksum is known."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from genzoo.errors import CorruptError

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path, checksum: str, shape: tuple[int, ...], *, name: str, hint: str) -> Tensor:
    """Read a gzipped IDX file of unsigned bytes; its checksum is verified before anything is parsed.

    Args:
        path: The file.
        checksum: Of the file as it is stored: ``"sha256:…"`` or ``"md5:…"``, in hexadecimal.
        shape: What the file must hold; −1 in first place takes any number of items.
        name: The dataset's, for errors.
        hint: What to do about a damaged file, for errors.

    Returns:
        uint8 of that shape.

    Raises:
        CorruptError: If the file is absent, or its checksum, format or shape differs.

    References:
        The format is described with the data at http://yann.lecun.com/exdb/mnist/.
    """
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        raise CorruptError(f"{name}: {path} must exist, got no file.", hint) from None
    algorithm, _, expected = checksum.partition(":")
    # MD5 guards against damage only, so a machine that allows no MD5 for security may use it here.
    found = hashlib.new(algorithm, stored, usedforsecurity=False).hexdigest()
    if found != expected:
        what = " (a web page)" if stored.lstrip()[:1] == b"<" else ""
        raise CorruptError(f"{name}: the {algorithm} sum of {path} must be {expected}, got {found}{what}.", hint)
    try:
        content = bytearray(gzip.decompress(stored))
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptError(f"{name}: {path} must be a gzip file, got {error}.", hint) from error
    header = 4 + 4 * len(shape)
    sizes = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    fits = all(want in (-1, size) for want, size in zip(shape, sizes, strict=True))
    magic = bytes([0, 0, _UNSIGNED_BYTES, len(shape)])
    if not content.startswith(magic) or not fits or len(content) != header + math.prod(sizes):
        raise CorruptError(f"{name}: {path} must be an IDX file of {list(shape)} unsigned bytes.", hint)
    return torch.frombuffer(content, dtype=torch.uint8, offset=header).view(sizes)
