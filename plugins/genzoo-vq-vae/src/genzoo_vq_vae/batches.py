"""The test images of a run, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

from genzoo.interfaces import RunView
from genzoo.types import Batch


def batches(run: RunView, size: int) -> Iterator[Batch]:
    """All test images, on the model's device and as the model is evaluated on them."""
    split = run.split("test")
    for start in range(0, len(split), size):
        batch = split.batch(slice(start, start + size)).to(run.device)
        yield batch.with_image(run.dataset.transform(batch.image, training=False))
