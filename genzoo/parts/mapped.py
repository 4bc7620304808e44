"""Images in a file of bytes, read as they are asked for, while the process holds a bounded part of them."""

from __future__ import annotations

import mmap
import os
import weakref
from pathlib import Path

import torch
from torch import Tensor

from genzoo.errors import CorruptError

HELD_BYTES = 256 << 20
"""A file up to this size may be held whole; of a larger one, the process lets go after a quarter of this was read."""


class MappedPages:
    """See `genzoo.types.Pages`; those of one mapped file.

    Images here and there in a large file are read, not mapped: a page that is mapped for one image and let go of soon
    costs more than to copy the image.

    Args:
        path: The file.
        held: The largest size in bytes of a file that may be held whole.
    """

    def __init__(self, path: Path, held: int = HELD_BYTES) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        # Changes stay in this process, so that no mistake reaches the file.
        self.mapping = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        self._large = len(self.mapping) > held
        self._most = held // 4
        self._read = 0

    def read(self, count: int) -> None:
        """See `genzoo.types.Pages.read`."""
        self._read += count
        if self._large and self._read >= self._most:
            self._read = 0
            # Windows knows no such call, and trims what a process holds by itself.
            if hasattr(self.mapping, "madvise"):
                self.mapping.madvise(mmap.MADV_DONTNEED)

    def rows(self, images: Tensor, index: Tensor) -> Tensor:
        """See `genzoo.types.Pages.rows`."""
        if index.dtype == torch.bool:
            index = index.nonzero().squeeze(1)
        if not self._large or not hasattr(os, "preadv") or not images[:1].is_contiguous():
            chosen = images.index_select(0, index)
            self.read(chosen.nbytes)
            return chosen
        first, step, size = images.storage_offset(), images.stride(0), images[:1].nbytes
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(images):
            raise IndexError(f"index must be in [0, {len(images)})")
        chosen = torch.empty((len(index), *images.shape[1:]), dtype=torch.uint8)
        into = chosen.view(-1).numpy().data
        for number, row in enumerate(index.tolist()):
            place = into[number * size : (number + 1) * size]
            if os.preadv(self._file, (place,), first + row * step) != size:
                raise CorruptError(f"data: {self.path} must not change while it is used.", "Run it again.")
        return chosen


def map_images(path: Path, shape: tuple[int, ...], held: int = HELD_BYTES) -> tuple[Tensor, MappedPages]:
    """Map a file of bytes into memory.

    A change of the tensor stays in this process and may be lost at any time; the file is never written.

    Args:
        path: The file; it must stay as long as the tensor is used.
        shape: ``[N, C, H, W]``, whose product is the file's size in bytes.
        held: The largest size in bytes of a file that may be held whole.

    Returns:
        uint8 of that shape, and its pages.
    """
    pages = MappedPages(path, held)
    return torch.frombuffer(pages.mapping, dtype=torch.uint8).view(shape), pages
