"""A judge: a small classifier trained on real images alone, which says what class an image looks like.

It never sees the model that it judges. `judge_of` trains one for a dataset, or reads the one it trained before.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from genzoo import storage
from genzoo.errors import GenzooError, StorageError, UsageError
from genzoo.interfaces import Dataset
from genzoo.parts.augment import random_shift
from genzoo.parts.cache import cache_folder
from genzoo.randomness import derive, seeded
from genzoo.types import ImageSpec, Split

VERSION = 1
"""Of the network and its training; another one is another judge."""

BATCH = 256
FEATURES = 128
_WORTH_KEEPING = 50_000


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is trained.

    Args:
        images: Training images that it sees, counting repeats.
        seed: Of its weights, order and augmentation.
        least_accuracy: Accuracy on the real test images that it must have, in [0, 1].
    """

    images: int = 240_000
    seed: int = 0
    least_accuracy: float = 0.99


class Judge(nn.Module):
    """A convolutional classifier: blocks of convolution, batch normalisation and pooling, then two dense layers.

    Args:
        image: What one image is; must have classes.
    """

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        if image.classes is None:
            raise UsageError("judge: the dataset must have labels, got none.", "Choose a dataset with labels.")
        channels, height, width = image.shape
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        while not blocks or max(height, width) > 7:
            wide = 16 if not blocks else 32
            blocks[f"block{len(blocks)}"] = nn.Sequential(
                nn.Conv2d(channels, wide, 3, padding=1),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            )
            channels, height, width = wide, math.ceil(height / 2), math.ceil(width / 2)
        self.blocks = nn.Sequential(blocks)
        self.dense = nn.Linear(channels * height * width, FEATURES)
        self.head = nn.Linear(FEATURES, image.classes)

    def features(self, image: Tensor) -> Tensor:
        """What the last layer reads, ``[B, 128]``, of images ``[B, C, H, W]`` in [0, 1]."""
        return F.relu(self.dense(self.blocks(image).flatten(1)))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images ``[B, C, H, W]`` in [0, 1]."""
        return self.head(F.dropout(self.features(image), 0.25, self.training))

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """The likeliest class, int64 ``[N]``, of images ``[N, C, H, W]`` in [0, 1]; in eval mode."""
        self.eval()
        return torch.cat([self(part).argmax(1) for part in images.split(1000)])


def judge_of(
    dataset: Dataset, settings: JudgeSettings | None = None, *, device: torch.device | str = "cpu"
) -> tuple[Judge, float]:
    """A judge for a dataset, in eval mode, with its accuracy on all real test images.

    It is trained on the whole training set, whatever part of it a run used, and kept in the folder ``judges`` of
    `genzoo.parts.cache.cache_folder` by what it was trained on and how.

    Args:
        dataset: Images with labels.
        settings: How it is trained; the defaults if None.
        device: Where it is trained and put.

    Raises:
        UsageError: If the dataset has no labels.
        GenzooError: If its accuracy is below ``settings.least_accuracy``, so that it cannot judge.
    """
    settings = settings or JudgeSettings()
    with seeded(derive(settings.seed, "weights")):
        judge = Judge(dataset.spec).to(device)
    train = dataset.split("train")
    file = cache_folder() / "judges" / f"{_key(dataset, train, settings)}.safetensors"
    if not _load(judge, file):
        _train(judge, dataset, train, settings)
        if settings.images >= _WORTH_KEEPING:
            _keep(judge, file)
    accuracy = _accuracy(judge, dataset)
    if accuracy < settings.least_accuracy:
        raise GenzooError(
            f"judge: accuracy on the real test images must be at least {settings.least_accuracy:.2%}, "
            f"got {accuracy:.2%}, so that its verdict is void.",
            "Train it on more images, or lower the least accuracy and say so beside the result.",
        )
    return judge.requires_grad_(False), accuracy


def _train(judge: Judge, dataset: Dataset, train: Split, settings: JudgeSettings) -> None:
    """Adam under a one-cycle learning rate, on images moved by up to a fourteenth of their side."""
    device = next(judge.parameters()).device
    train = train.to(device)
    steps = math.ceil(settings.images / BATCH)
    moved = min(dataset.spec.shape[1:]) // 14
    with torch.enable_grad(), seeded(derive(settings.seed, "judge")):
        optimizer = torch.optim.Adam(judge.parameters(), lr=4e-3)
        # A schedule of a few steps alone would divide by zero.
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(steps, 10))
        judge.train()
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(steps):
            while len(order) < BATCH:
                order = torch.cat([order, torch.randperm(len(train))])
            index, order = order[:BATCH].to(device), order[BATCH:]
            batch = train.batch(index)
            image = random_shift(dataset.transform(batch.image, training=True), moved)
            assert batch.label is not None
            loss = F.cross_entropy(judge(image), batch.label, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    judge.eval()


def _accuracy(judge: Judge, dataset: Dataset) -> float:
    device = next(judge.parameters()).device
    test = dataset.split("test").to(device)
    batch = test.batch()
    assert batch.label is not None
    found = judge.classify(dataset.transform(batch.image, training=False))
    return (found == batch.label).double().mean().item()


def _key(dataset: Dataset, train: Split, settings: JudgeSettings) -> str:
    """A name for what the judge learns: the images themselves, what is done to them, and how it is trained."""
    if train.labels is None:
        raise UsageError("judge: the dataset must have labels, got none.", "Choose a dataset with labels.")
    digest = hashlib.sha256()
    source = dataset.implementation
    told = {
        "version": VERSION,
        "dataset": f"{source.__module__}.{source.__qualname__}",
        "options": dataset.options.model_dump(mode="json"),
        "shape": dataset.spec.shape,
        "classes": dataset.spec.classes,
        "images": settings.images,
        "seed": settings.seed,
    }
    digest.update(json.dumps(told, sort_keys=True).encode())
    for tensor in (train.images, train.labels):
        digest.update(tensor.contiguous().cpu().numpy().data)
    return digest.hexdigest()[:32]


def _load(judge: Judge, file: Path) -> bool:
    """Whether a judge was kept and could be read; a damaged one is trained anew."""
    try:
        # Refuses other names and shapes before it copies anything.
        found = load(file.read_bytes())
        wanted = judge.state_dict()
        if {name: value.shape for name, value in found.items()} != {
            name: value.shape for name, value in wanted.items()
        }:
            return False
    except (OSError, SafetensorError):
        return False
    judge.load_state_dict(found)
    judge.eval()
    return True


def _keep(judge: Judge, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage.replace(file, save({name: value.cpu() for name, value in judge.state_dict().items()}))
    except (OSError, StorageError):
        # Training it again next time is the lesser evil.
        return
