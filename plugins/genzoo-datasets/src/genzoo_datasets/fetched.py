"""Reading one of torchvision's MNIST-like datasets from the cache folder, fetched first where it is absent."""

from __future__ import annotations

import torch
from torchvision.datasets import MNIST

from genzoo.parts.cache import cache_folder
from genzoo.parts.idx import read_idx
from genzoo.types import Split
from genzoo_datasets.fetch import fetch


def read_fetched(source: type[MNIST], name: str, split: str, root: str) -> Split:
    """A split of the dataset that ``source`` describes; its files lie where torchvision puts them.

    Args:
        source: torchvision's class, read for its addresses and checksums.
        name: The dataset's name, for errors.
        split: ``"train"`` or ``"test"``.
        root: Folder of all datasets; empty for the cache folder.

    Raises:
        CorruptError: If a file is damaged, or absent and cannot be fetched.
    """
    folder = cache_folder(root) / source.__name__ / "raw"
    fetch(folder, source.resources, source.mirrors, name=name)
    sums = dict(source.resources)
    prefix = "train" if split == "train" else "t10k"

    def read(file: str, shape: tuple[int, ...]) -> torch.Tensor:
        path = folder / file
        return read_idx(path, f"md5:{sums[file]}", shape, name=name, hint=f"Delete {path} to fetch it anew.")

    images = read(f"{prefix}-images-idx3-ubyte.gz", (-1, 28, 28))
    labels = read(f"{prefix}-labels-idx1-ubyte.gz", (-1,))
    return Split(images.unsqueeze(1), labels.to(torch.int64))
