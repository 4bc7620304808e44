"""Images in memory or memory-mapped, batched by index: no worker processes and no per-sample Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from genzoo.interfaces.dataset import Dataset
from genzoo.randomness import derive
from genzoo.types import Batch, Split


class Batches(ABC):
    """Batches by index, in an order that is a pure function of seed and epoch."""

    device: torch.device

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, index: slice | Tensor, *, training: bool) -> Batch:
        """The images at ``index``, transformed."""

    def order(self, seed: int, epoch: int, stream: str = "order") -> Tensor:
        """The order of an epoch's images, a pure function of seed, stream and epoch."""
        generator = torch.Generator().manual_seed(derive(seed, stream, epoch))
        return torch.randperm(len(self), generator=generator).to(self.device)

    def slices(self, batch_size: int) -> Iterator[slice]:
        """Consecutive slices over all images, the last one partial."""
        for start in range(0, len(self), batch_size):
            yield slice(start, min(start + batch_size, len(self)))


class Codes(Batches):
    """Latents instead of images, for a prior that is fitted to codes which never change.

    Args:
        latents: ``[N, *event]``.
        labels: int64 ``[N]`` or None.
    """

    def __init__(self, latents: Tensor, labels: Tensor | None) -> None:
        self.latents, self.labels = latents, labels
        self.device = latents.device

    def __len__(self) -> int:
        return self.latents.shape[0]

    def batch(self, index: slice | Tensor, *, training: bool) -> Batch:
        """Latents and labels at ``index``."""
        return Batch(self.latents[index], None if self.labels is None else self.labels[index])


class Loader(Batches):
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
        self.device = torch.device("cpu") if self.split.mapped else self._device
        self._channels_last = channels_last

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: slice | Tensor, *, training: bool) -> Batch:
        """See `Batches.batch`; float32 in [0, 1]."""
        part = self.split.select(index)
        if self.split.mapped and self._device.type != "cpu":
            part = self._copied(part)
        batch = part.batch()
        image = self._dataset.transform(batch.image, training=training)
        return batch.with_image(_channels_last(image) if self._channels_last else image.contiguous())

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


def _channels_last(image: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` in the memory format channels_last, with its strides where one channel would leave a choice.

    Of one channel, torch takes other strides for contiguous, and what a convolution makes of it then lies so that every
    later layer has to turn it round.
    """
    _, c, h, w = image.shape
    return image.contiguous(memory_format=torch.channels_last).as_strided(image.shape, (c * h * w, 1, w * c, c))
