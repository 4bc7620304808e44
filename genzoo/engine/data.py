"""Images in memory or memory-mapped, batched by index: no worker processes and no per-sample Python."""

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
        split: All images; kept on ``device`` as stored, uint8 where the dataset stores bytes. Those in a file stay
            there, and each batch is copied as it is stored.
        device: Where the batches are made.
        channels_last: Memory format of the batches.
    """

    def __init__(self, dataset: Dataset, split: Split, device: str, *, channels_last: bool = False) -> None:
        self._dataset = dataset
        self.split = split if split.mapped else split.to(device)
        self._device = torch.device(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: slice | Tensor, *, training: bool) -> Batch:
        """The images at ``index`` as float32 in [0, 1], transformed."""
        part = self.split.select(index)
        if self.split.mapped and self._device.type != "cpu":
            part = self._copied(part)
        batch = part.batch()
        image = self._dataset.transform(batch.image, training=training)
        return batch.with_image(image.contiguous(memory_format=self._format))

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order of an epoch's images, a pure function of seed and epoch."""
        generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
        return torch.randperm(len(self), generator=generator).to(self.split.images.device)

    def slices(self, batch_size: int) -> Iterator[slice]:
        """Consecutive slices over the split, the last one partial."""
        for start in range(0, len(self), batch_size):
            yield slice(start, min(start + batch_size, len(self)))

    def _copied(self, part: Split) -> Split:
        """Some images of a file on the device, the copy from pinned memory, so that no step waits for it."""

        def copy(values: Tensor | None) -> Tensor | None:
            if values is None:
                return None
            held = values.pin_memory() if self._device.type == "cuda" else values
            return held.to(self._device, non_blocking=True)

        images = copy(part.images)
        assert images is not None
        if part.pages is not None:
            part.pages.read(part.images.nbytes)
        return Split(images, copy(part.labels), copy(part.factors))
