"""A judge: a small classifier trained on real images alone, which says what class an image looks like.

It never sees the model that it judges. `judge_of` trains one for a dataset, or reads the one it trained before.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
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
from genzoo.subsets import subset_rows
from genzoo.types import ImageSpec, Split

VERSION = 2
"""Of the network and its training; another one is another judge."""

BATCH = 256
FEATURES = 128
ERROR_RATIO = 0.6
"""A judge may have at most this part of the errors of the nearest class mean, where nothing else is asked of it."""

_WORTH_KEEPING = 50_000


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is trained.

    Args:
        images: Training images that it sees, counting repeats.
        seed: Of its weights, order and augmentation, and of the images that are held out.
        least_accuracy: Accuracy on the held-out images that it must have, in [0, 1]. None: the one that the dataset
            declares (`genzoo.interfaces.Dataset.judge_accuracy`), or else 1 − 0.6·(1 − a), where a is the accuracy of
            the nearest class mean on the same images.
        holdout: Training images that are held out for that, at most; a sixth of them where that is fewer.
    """

    images: int = 240_000
    seed: int = 0
    least_accuracy: float | None = None
    holdout: int = 5000


@dataclass(frozen=True)
class Gate:
    """What decided that a judge may judge. Accuracies are in [0, 1] and on held-out training images.

    Args:
        images: How many images were held out.
        accuracy: The judge's accuracy.
        class_mean: That of the nearest class mean, the simplest classifier.
        least: What the judge's had to be.
    """

    images: int
    accuracy: float
    class_mean: float
    least: float


class Judge(nn.Module):
    """A convolutional classifier: blocks of convolution, batch normalisation and pooling, then two dense layers.

    Args:
        image: What one image is; must have classes.

    ``gate`` is what `judge_of` held it to, None of one that was made by hand.
    """

    gate: Gate | None = None

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

    It is trained on the training set, whatever part of it a run used, without the held-out images, and kept in the
    folder ``judges`` of `genzoo.parts.cache.cache_folder` by what it was trained on and how. Whether it is good enough is
    decided by the held-out images; the test images are only reported on.

    Args:
        dataset: Images with labels.
        settings: How it is trained; the defaults if None.
        device: Where it is trained and put.

    Raises:
        UsageError: If the dataset has no labels, or too few images to hold any out.
        GenzooError: If its accuracy on the held-out images is below the least, so that it cannot judge.
    """
    settings = settings or JudgeSettings()
    with seeded(derive(settings.seed, "weights")):
        judge = Judge(dataset.spec).to(device)
    whole = dataset.split("train")
    if whole.labels is None:
        raise UsageError("judge: the dataset must have labels, got none.", "Choose a dataset with labels.")
    train, held = _apart(whole, whole.labels, settings)
    file = cache_folder() / "judges" / f"{_key(dataset, whole, settings)}.safetensors"
    if not _load(judge, file):
        _train(judge, dataset, train, settings)
        if settings.images >= _WORTH_KEEPING:
            _keep(judge, file)
    judge.gate = gate = _gate(judge, dataset, train, held, settings)
    if gate.accuracy < gate.least:
        raise GenzooError(
            f"judge: accuracy on {gate.images} held-out training images must be at least {gate.least:.2%}, "
            f"got {gate.accuracy:.2%}, so that its verdict is void.",
            "Train it on more images, or lower the least accuracy and say so beside the result.",
        )
    return judge.requires_grad_(False), _accuracy(judge, dataset, dataset.split("test"))


def _apart(whole: Split, labels: Tensor, settings: JudgeSettings) -> tuple[Split, Split]:
    """The images to train on and those to hold out, drawn by seed in every class."""
    wanted = min(settings.holdout, len(whole) // 6)
    if not wanted:
        raise UsageError(
            f"judge: training images must be at least six, so that some can be held out, got {len(whole)}.",
            "Train it on more images.",
        )
    held = subset_rows(len(whole), wanted, derive(settings.seed, "judge", "holdout"), labels, leave=True)
    kept = torch.ones(len(whole), dtype=torch.bool)
    kept[held] = False
    return whole.at(kept.nonzero().squeeze(1)), whole.at(held)


def _gate(judge: Judge, dataset: Dataset, train: Split, held: Split, settings: JudgeSettings) -> Gate:
    means = _class_means(dataset, train)
    simplest = _part_right(dataset, held, lambda image: torch.cdist(image.flatten(1).cpu(), means).argmin(1))
    least = settings.least_accuracy
    if least is None:
        least = dataset.judge_accuracy
    if least is None:
        least = 1 - ERROR_RATIO * (1 - simplest)
    return Gate(len(held), _accuracy(judge, dataset, held), simplest, least)


def _class_means(dataset: Dataset, split: Split) -> Tensor:
    """The mean image of each class, ``[classes, pixels]``, on the CPU; infinite for a class without images."""
    classes = dataset.spec.classes or 0
    sums, counts = torch.zeros(classes, math.prod(dataset.spec.shape)), torch.zeros(classes)
    for image, label in _parts(dataset, split):
        sums.index_add_(0, label.cpu(), image.flatten(1).cpu())
        counts += torch.bincount(label.cpu(), minlength=classes)
    return torch.where(counts[:, None] > 0, sums / counts[:, None], torch.inf)


def _train(judge: Judge, dataset: Dataset, train: Split, settings: JudgeSettings) -> None:
    """Adam under a one-cycle learning rate, on images moved by up to a fourteenth of their side. Nothing is selected."""
    device = next(judge.parameters()).device
    place = torch.device("cpu") if train.mapped else device
    train = train if train.mapped else train.to(device)
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
            index, order = order[:BATCH].to(place), order[BATCH:]
            batch = train.batch(index).to(device)
            image = random_shift(dataset.transform(batch.image, training=True), moved)
            assert batch.label is not None
            loss = F.cross_entropy(judge(image), batch.label, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    judge.eval()


def _accuracy(judge: Judge, dataset: Dataset, split: Split) -> float:
    device = next(judge.parameters()).device
    return _part_right(dataset, split, lambda image: judge.classify(image.to(device)).cpu())


def _part_right(dataset: Dataset, split: Split, classify: Callable[[Tensor], Tensor]) -> float:
    """The part of a split's images whose class is found; ``classify`` returns classes on the CPU."""
    right = sum(int((classify(image) == label.cpu()).sum()) for image, label in _parts(dataset, split))
    return right / len(split)


def _parts(dataset: Dataset, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Images as they are evaluated and their labels, a thousand at a time."""
    for start in range(0, len(split), 1000):
        batch = split.batch(slice(start, start + 1000))
        assert batch.label is not None
        yield dataset.transform(batch.image, training=False), batch.label


def _key(dataset: Dataset, train: Split, settings: JudgeSettings) -> str:
    """A name for what the judge learns: the images themselves, what is done to them, and how it is trained."""
    assert train.labels is not None
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
        "holdout": settings.holdout,
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
