"""Images in a file of bytes, read as they are asked for, while the process holds a bounded part of them."""

from __future__ import annotations

import mmap
from pathlib import Path

import torch
from torch import Tensor

HELD_BYTES = 64 << 20
"""After so many bytes were read, the process lets go of what it holds; the system's file cache keeps it for all."""


class MappedPages:
    """See `genzoo.types.Pages`; those of one mapped file.

    Args:
        file: The mapping.
        held: Bytes to read before letting go.
    """

    def __init__(self, file: mmap.mmap, held: int = HELD_BYTES) -> None:
        self._file = file
        self._held = held
        self._read = 0

    def read(self, count: int) -> None:
        """See `genzoo.types.Pages.read`."""
        self._read += count
        if self._read >= self._held:
            self._read = 0
            # Windows knows no such call, and trims what a process holds by itself.
            if hasattr(self._file, "madvise"):
                self._file.madvise(mmap.MADV_DONTNEED)


def map_images(path: Path, shape: tuple[int, ...], held: int = HELD_BYTES) -> tuple[Tensor, MappedPages]:
    """Map a file of bytes into memory.

    A change of the tensor stays in this process and may be lost at any time; the file is never written.

    Args:
        path: The file; it must stay as long as the tensor is used.
        shape: ``[N, C, H, W]``, whose product is the file's size in bytes.
        held: Bytes to read before letting go.

    Returns:
        uint8 of that shape, and its pages.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return torch.frombuffer(mapped, dtype=torch.uint8).view(shape), MappedPages(mapped, held)
