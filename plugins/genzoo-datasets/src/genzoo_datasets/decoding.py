"""Where the decoded images of files lie: in memory, or in a memory-mapped file of the cache folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genzoo.parts.decoded import Source, decoded
from genzoo.parts.mapped import map_images
from genzoo.parts.pixels import PixelDataset
from genzoo.types import Pages
from genzoo_datasets.decode import ImageFile, Target
from genzoo_datasets.options import DecodedOptions
from genzoo_datasets.pool import decode_chunks

MANY_IMAGES = 10_000
MANY_BYTES = 256_000_000
"""From so many on, images are decoded once into the cache folder unless told otherwise."""

DECODER = 1
"""To be raised whenever the same file would be decoded to other bytes."""

_IN_MEMORY = 512


def read_images(
    dataset: PixelDataset,
    split: str,
    files: Sequence[ImageFile],
    target: Target,
    identity: Mapping[str, Any],
    origin: Path,
    check: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Pages | None]:
    """The decoded images of files.

    Args:
        dataset: Whose images they are; its options say where they go.
        split: Name of the split.
        files: One an image.
        target: What each must become.
        identity: What tells these files from others, as JSON.
        origin: The folder or archive that they are in.
        check: Called before the first is decoded.

    Returns:
        uint8 ``[N, C, H, W]``, and the pages of those in a file, which have been through `PixelDataset.settle`.
    """
    shape = (len(files), target.channels, target.height, target.width)
    size = len(files) * target.channels * target.height * target.width
    cache = cast(DecodedOptions, dataset.options).cache
    if not files or cache == "never" or (cache == "auto" and len(files) < MANY_IMAGES and size < MANY_BYTES):
        check()
        return _in_memory(files, target, shape), None
    settles = dataset.settles(split)

    def decode(chunks: Sequence[range]) -> Generator[bytes | memoryview]:
        if chunks:
            check()
        with closing(decode_chunks([files[chunk.start : chunk.stop] for chunk in chunks], target)) as results:
            for data in results:
                if settles:
                    stored = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(-1, *shape[1:])
                    yield dataset.settle(stored, split).contiguous().numpy().data
                else:
                    yield data

    told = {"decoder": DECODER, "target": asdict(target), "files": dict(identity), "settled": settles}
    return map_images(decoded(Source(target.dataset, shape, told, decode, origin)), shape)


def _in_memory(files: Sequence[ImageFile], target: Target, shape: tuple[int, ...]) -> Tensor:
    images = np.empty(shape, np.uint8)
    chunks = [files[start : start + _IN_MEMORY] for start in range(0, len(files), _IN_MEMORY)]
    for number, data in enumerate(decode_chunks(chunks, target)):
        part = images[number * _IN_MEMORY : (number + 1) * _IN_MEMORY]
        part[:] = np.frombuffer(data, np.uint8).reshape(part.shape)
    return torch.from_numpy(images)
