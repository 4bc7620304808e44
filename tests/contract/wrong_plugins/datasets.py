"""Wrong datasets, and correct ones."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from genzoo.errors import CorruptError, UsageError
from genzoo.interfaces import Dataset
from genzoo.options import Options
from genzoo.testing.bench import BenchData
from genzoo.types import ImageSpec, Split
from wrong_plugins.ledger import right, wrong


class Made(Dataset):
    """The bench's images, labels and factors."""

    def __init__(self, options):
        super().__init__(options)
        self.inner = BenchData()
        self.factor_names, self.factor_sizes = self.inner.factor_names, self.inner.factor_sizes

    @property
    def spec(self):
        return replace(self.inner.spec, levels=None)

    def split(self, name):
        if name not in self.splits:
            raise UsageError(f"split: name must be one of {', '.join(self.splits)}, got {name!r}.")
        return self.changed(self._distinct(name), name)

    def _distinct(self, name):
        found = self.inner.split(name)
        keep = found.factors.sum(1) % 2 == self.splits.index(name)
        return found.select(keep)

    def changed(self, split, name):
        return split

    def render(self, factors):
        return self.inner.render(factors)


class Unlabelled(Made):
    """The bench's images without factors."""

    def __init__(self, options):
        super().__init__(options)
        self.factor_names, self.factor_sizes = (), ()

    def changed(self, split, name):
        return replace(split, factors=None)

    def render(self, factors):
        return None


@wrong("works-offline")
class FetchesEachTime(Made):
    """It asks the network at each call and passes the error on."""

    def split(self, name):
        urllib.request.urlopen("http://127.0.0.1:9/images", timeout=1).read()
        return super().split(name)


@wrong("has-train-and-test", also=("images-differ",))
class HasNoTest(Unlabelled):
    """Its test split is empty."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return split if name == "train" else split.select(slice(0, 0))


@wrong("images-as-specified", also=("transform-keeps-shape-and-range",))
class ChannelsLast(Unlabelled):
    """Its channels come last."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, images=split.images.movedim(1, -1))


@wrong("pixels-in-range", also=("transform-keeps-shape-and-range",))
class ScaledToOne(Unlabelled):
    """Its pixels go from −1 to 1."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, images=2 * split.images - 1)


@wrong("images-differ", also=("splits-disjoint", "labels-fit-images"))
class ReadsOneFile(Unlabelled):
    """It gives its first image again and again."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, images=split.images[:1].repeat(len(split), 1, 1, 1))


@wrong("same-at-each-call", also=())
class Shuffles(Unlabelled):
    """It shuffles its split by the global generator."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return split.select(torch.randperm(len(split)))


@wrong("splits-disjoint")
class TestsOnTrain(Unlabelled):
    """Its test images are training images."""

    def split(self, name):
        return super().split("train" if name == "test" else name)


@wrong("labels-as-specified")
class CountsFromOne(Unlabelled):
    """Its labels count from one."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, labels=split.labels + 1)


@wrong("spec-consistent")
class MisnamesItsClasses(Made):
    """It names two of its three classes."""

    @property
    def spec(self):
        return ImageSpec((1, 8, 8), 3, class_names=("dark", "light"))


@wrong("factors-as-declared", also=("render-matches-factors", "splits-disjoint"))
class ForgetsAFactor(Made):
    """It declares three factors and gives two."""

    def changed(self, split, name):
        return replace(split, factors=split.factors[:, :2])

    def render(self, factors):
        return None


@wrong("unknown-split-refused")
class TakesAnySplit(Unlabelled):
    """Any other name is the test split."""

    def split(self, name):
        return super().split(name if name in self.splits else "test")


@wrong("transform-keeps-shape-and-range")
class Crops(Unlabelled):
    """It crops without padding."""

    def transform(self, image, *, training):
        return image[..., 1:, 1:] if training else image


@wrong("transform-leaves-images")
class InvertsInPlace(Unlabelled):
    """It inverts images in place."""

    def transform(self, image, *, training):
        return image.sub_(1).neg_() if training else image


@wrong(
    "render-matches-factors",
    also=(
        "factors-change-images",
        "labels-fit-images",
    ),
)
class RendersAnother(Made):
    """It renders the factors in another order."""

    def render(self, factors):
        found = self.inner.render(factors.flip(0))
        return Split(found.images, found.labels, factors)


class Many(Unlabelled):
    """More of them."""

    def _distinct(self, name):
        found = BenchData(sizes=(300, 200)).split(name)
        return found.select(found.factors.sum(1) % 2 == self.splits.index(name))


@wrong("labels-fit-images")
class ShiftsItsLabels(Many):
    """Its labels are those of the next image."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, labels=split.labels.roll(1))


@wrong("labels-fit-images", says="labels_unseen")
class SaysNobodySeesThem(Many):
    """It says that the images do not show their labels, which they do."""

    labels_unseen = "drawn at random"


@right()
class LabelsAtRandom(Many):
    """Its labels are drawn at random, as in studies of what networks learn by heart, and it says so."""

    labels_unseen = "drawn at random"

    def changed(self, split, name):
        split = super().changed(split, name)
        draw = torch.Generator().manual_seed(len(name))
        return replace(split, labels=torch.randint(split.labels.max() + 1, split.labels.shape, generator=draw))


@wrong("labels-fit-images")
class ShufflesTestLabels(Many):
    """Its test images are shuffled and their labels are not."""

    def changed(self, split, name):
        split = super().changed(split, name)
        if name == "train":
            return split
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(3))
        return replace(split, images=split.images[order])


@wrong("classes-occur", also=("labels-fit-images", "splits-are-alike"))
class CutsSortedFiles(Unlabelled):
    """Its files are sorted by class and cut in two."""

    def _distinct(self, name):
        both = [BenchData(sizes=(120, 120)).split(one) for one in self.splits]
        labels = torch.cat([one.labels for one in both])
        order = labels.argsort(stable=True)
        some = order[:160] if name == "train" else order[160:]
        return Split(
            torch.cat([one.images for one in both])[some], labels[some], torch.cat([b.factors for b in both])[some]
        )


@wrong("pixels-use-the-range", also=("labels-fit-images",))
class ZeroAndOneBytes(Unlabelled):
    """It stores black and white as bytes 0 and 1."""

    def changed(self, split, name):
        split = super().changed(split, name)
        return replace(split, images=(split.images > 0.5).to(torch.uint8))


@wrong("evaluation-draws-nothing")
class AugmentsTestImages(Unlabelled):
    """It adds noise in evaluation too."""

    def transform(self, image, *, training):
        return (image + 0.1 * torch.randn_like(image)).clamp(0, 1)


@wrong("factors-change-images", says="width")
class IgnoresAFactor(Made):
    """Its last factor changes nothing."""

    def _distinct(self, name):
        found = super()._distinct(name)
        return self.render(found.factors)

    def render(self, factors):
        held = torch.cat([factors[:, :2], torch.zeros_like(factors[:, 2:])], 1)
        found = self.inner.render(held)
        return Split(found.images, found.labels, factors)


@wrong("names-fit-images")
class NamesTheOtherSplit(Unlabelled):
    """It names test images as training images."""

    def names(self, split):
        return [f"image-{index}" for index in range(len(self.split("train")))]


@right()
class TinyImages(Dataset):
    """Two by two pixels of three grey levels, which repeat by chance."""

    @property
    def spec(self):
        return ImageSpec((1, 2, 2), levels=3)

    def split(self, name):
        if name not in self.splits:
            raise UsageError(f"split: name must be one of {', '.join(self.splits)}, got {name!r}.")
        draw = torch.Generator().manual_seed(self.splits.index(name))
        return Split(torch.randint(3, (200, 1, 2, 2), generator=draw) / 2)


class FileOptions(Options):
    """Where the file is."""

    path: str = Field("", description="The file of images.")

    @classmethod
    def example(cls, folder) -> dict[str, Any]:
        file = folder / "images.raw"
        file.write_bytes(np.random.default_rng(0).integers(256, size=40 * 64, dtype=np.uint8).tobytes())
        return {"path": str(file)}


class Raw(Dataset):
    """Forty images of 64 bytes in one file."""

    @property
    def spec(self):
        return ImageSpec((1, 8, 8))

    def read(self):
        from pathlib import Path

        data = Path(self.options.path).read_bytes() if self.options.path else bytes(40 * 64)
        if len(data) != 40 * 64:
            raise CorruptError(f"raw: {self.options.path} must have 2560 bytes, got {len(data)}.")
        return data

    def split(self, name):
        if name not in self.splits:
            raise UsageError(f"split: name must be one of {', '.join(self.splits)}, got {name!r}.")
        images = torch.frombuffer(bytearray(self.read()), dtype=torch.uint8)
        images = images[: len(images) // 64 * 64].reshape(-1, 1, 8, 8)
        half = len(images) // 2
        return Split(images[:half] if name == "train" else images[half:])


@wrong("damaged-file-refused", options="wrong_plugins.datasets:FileOptions", also=("options-torch-free",))
class TakesWhatIsThere(Raw):
    """It reads what is left of a truncated file."""

    def read(self):
        from pathlib import Path

        return Path(self.options.path).read_bytes() if self.options.path else bytes(64 * 40)


@right()
class MadeOfFactors(Made):
    """Images made from factors."""

    note: ClassVar = "no options"


@right()
class PlainImages(Unlabelled):
    """Images with labels alone."""
