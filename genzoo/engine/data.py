"""Images in memory, batched by index on the device: no worker processes and no per-sample Python."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genzoo.interfaces.dataset import Dataset
from genzoo.randomness import derive
from genzoo.types import Batch, Split


class Loader:
    """Batches of one split by index.

    Args:
        dataset: Transforms each batch (augmentation, dynamic binarization).
        split: All images; kept on ``device`` as stored, uint8 where the dataset stores bytes.
        device: Where the batches are made.
        channels_last: Memory format of the batches.
    """

    def __init__(self, dataset: Dataset, split: Split, device: str, *, channels_last: bool = False) -> None:
        self._dataset = dataset
        self.split = split.to(device)
        self._device = torch.device(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: slice | Tensor, *, training: bool) -> Batch:
        """The images at ``index`` as float32 in [0, 1], transformed."""
        batch = self.split.batch(index)
        image = self._dataset.transform(batch.image, training=training)
        return batch.with_image(image.contiguous(memory_format=self._format))

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of an epoch's images, a pure function of seed and epoch."""
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        return torch.randperm(len(self), generator=generator).to(self._device)

    def slices(self, batch_size: int) -> Iterator[slice]:
        """Consecutive slices over the split, the last one partial."""
        for start in range(0, len(self), batch_size):
            yield slice(start, min(start + batch_size, len(self)))
