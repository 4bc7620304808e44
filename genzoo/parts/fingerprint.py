"""Digests that tell the images of one data set from those of another, whatever they are called and wherever they lie."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo.parts.decoded import chunk_digests, chunks_of, cores
from genzoo.types import Split


def fingerprint(split: Split) -> dict[str, Any]:
    """What tells a split from another: counts, and SHA-256 of its images, labels and factors as they are stored.

    The images' digest is that of the digests of their chunks (`genzoo.parts.decoded.chunks_of`). A decoded cache has
    these in its manifest, verified when it was opened, so that its images need not be read again; others are hashed, a
    gigabyte in about a second.

    Returns:
        ``count``, ``shape`` of one image, ``dtype``, ``images``, and ``labels`` and ``factors``, None where there are none.

    Example:
        >>> found = fingerprint(Split(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1])))
        >>> found["count"], found["shape"], found["dtype"], found["factors"]
        (2, [1, 4, 4], 'float32', None)
    """
    images = split.images
    return {
        "count": len(split),
        "shape": list(images.shape[1:]),
        "dtype": str(images.dtype).removeprefix("torch."),
        "images": _of_chunks(_whole_file(split) or _chunks(split)),
        "labels": None if split.labels is None else _sha256(split.labels),
        "factors": None if split.factors is None else _sha256(split.factors),
    }


def _whole_file(split: Split) -> list[str] | None:
    """The digests that a decoded cache has of its images, if the split is all of them."""
    path = getattr(split.pages, "path", None)
    if not isinstance(path, Path) or split.images.nbytes != path.stat().st_size:
        return None
    return chunk_digests(path)


def _chunks(split: Split) -> list[str]:
    images = split.images
    count = len(images)
    chunks = chunks_of(count, images.nbytes // count if count else 1)

    def digest(chunk: range) -> str:
        found = _sha256(images[chunk.start : chunk.stop])
        if split.pages is not None:
            split.pages.read(len(chunk) * images[:1].nbytes)
        return found

    # Hashing leaves Python's lock to others.
    with ThreadPoolExecutor(cores()) as threads:
        return list(threads.map(digest, chunks))


def _sha256(values: Tensor) -> str:
    plain = values.detach().cpu().contiguous()
    return hashlib.sha256(plain.reshape(-1).view(torch.uint8).numpy().data).hexdigest()


def _of_chunks(digests: list[str]) -> str:
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
