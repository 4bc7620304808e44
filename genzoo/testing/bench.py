"""The bench that plugins are checked on: tiny image specs, batches, data made from known factors, and runs over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from genzoo.interfaces import Dataset, Model, RunView
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.testing.reference import PlainLoss, PlainModel, reference_parts
from genzoo.types import Batch, ImageSpec, Split

CLASSES = 3
FACTOR_SIZES = (CLASSES, 4, 5)

GREY = ImageSpec((1, 8, 8), classes=CLASSES)
COLOUR = ImageSpec((3, 8, 8), classes=CLASSES)
ODD = ImageSpec((1, 9, 7), classes=CLASSES)
USUAL = ImageSpec((1, 28, 28), classes=CLASSES)
SPECS = (GREY, USUAL, COLOUR, ODD)


def generator(seed: int) -> torch.Generator:
    """A generator of its own, so that the bench never touches the global one."""
    return torch.Generator().manual_seed(seed)


def images(spec: ImageSpec, n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Grey levels at random, ``[n, C, H, W]`` in (0, 1)."""
    return torch.rand(n, *spec.shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def batch(spec: ImageSpec, n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """``n`` images with labels that go round the classes."""
    label = None if spec.classes is None else torch.arange(n) % spec.classes
    return Batch(images(spec, n, seed, dtype), label)


def mixing(spec: ImageSpec) -> Tensor:
    """The matrix from three standardised factors to the logits of an image, ``[pixels, 3]``, orthogonal columns."""
    basis = torch.linalg.qr(torch.randn(spec.pixels, 3, generator=generator(7)))[0]
    return basis * spec.pixels**0.5


def standardised(factors: Tensor) -> Tensor:
    """Factor indices as numbers of mean zero and unit variance, ``[N, 3]``."""
    sizes = torch.tensor(FACTOR_SIZES, dtype=torch.float32)
    return (factors.float() - (sizes - 1) / 2) / ((sizes.square() - 1) / 12).sqrt()


class BenchData(Dataset):
    """Images whose logits are linear in three independent factors; the label is the first factor.

    Args:
        spec: Shape of the images.
        labels, factors: Whether the splits have them.
        sizes: Images of ``train`` and ``test``.
        seed: Which images.
    """

    def __init__(
        self,
        spec: ImageSpec = GREY,
        *,
        labels: bool = True,
        factors: bool = True,
        sizes: tuple[int, int] = (96, 48),
        seed: int = 0,
    ) -> None:
        super().__init__(NoOptions())
        self._spec = spec if labels else ImageSpec(spec.shape, None, spec.levels)
        self._sizes = dict(zip(self.splits, sizes, strict=True))
        self._factors = factors
        self._seed = seed
        if factors:
            self.factor_names = ("shade", "tilt", "width")
            self.factor_sizes = FACTOR_SIZES

    @property
    def spec(self) -> ImageSpec:
        return self._spec

    def split(self, name: str) -> Split:
        draw = generator(self._seed * 2 + self.splits.index(name))
        n = self._sizes[name]
        factors = torch.stack([torch.randint(size, (n,), generator=draw) for size in FACTOR_SIZES], dim=1)
        return self.render(factors)

    def render(self, factors: Tensor) -> Split:
        logits = standardised(factors) @ mixing(self._spec).T
        images = logits.reshape(-1, *self._spec.shape).sigmoid()
        labelled = self._spec.classes is not None
        return Split(images, factors[:, 0].clone() if labelled else None, factors if self._factors else None)


def history(epochs: int = 3, worse_by: float = 0.0) -> list[Mapping[str, Any]]:
    """Rows of metrics.jsonl, one an epoch, in which everything gets better; ``worse_by`` changes every field of them."""

    def measured(epoch: int, gap: float) -> dict[str, Any]:
        distortion, rate = 40.0 + gap + worse_by - 3 * epoch, 2.0 + 0.5 * epoch + 0.1 * gap + 0.2 * worse_by
        return {
            "objective": distortion + rate,
            "distortion": distortion,
            "rate": rate,
            "rates": [rate],
            "elbo": -(distortion + rate),
            "ratio": distortion / rate,
        }

    return [
        {
            "kind": "epoch",
            "epoch": epoch,
            "step": 6 * epoch,
            "seconds": 1.0 + 0.1 * worse_by,
            "images_per_second": 96.0 - worse_by,
            "quantities": {"beta": (epoch / epochs) ** (1 + 0.2 * worse_by), "lr": 1e-3 / (1 + worse_by)},
            "train": measured(epoch, 0.0),
            "test": measured(epoch, 1.0),
        }
        for epoch in range(1, epochs + 1)
    ]


def reference_model(
    kind: type[Model] = PlainModel, spec: ImageSpec = GREY, seed: int = 0, sharpen: float = 3.0
) -> Model:
    """A reference model in eval mode, with weights large enough for its images to differ."""
    with seeded(seed + 1):
        model = kind(NoOptions(), reference_parts(spec))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(sharpen)
    return model.eval().requires_grad_(False)


class View:
    """Makes run views that differ in one thing at a time."""

    titles: ClassVar[str] = "bench"

    @staticmethod
    def of(
        model: type[Model] | Model = PlainModel,
        spec: ImageSpec = GREY,
        *,
        labels: bool = True,
        factors: bool = True,
        rows: bool = True,
        sizes: tuple[int, int] = (96, 48),
        seed: int = 0,
    ) -> RunView:
        """A finished run of a reference model, or of a model given, over the bench's data.

        Args:
            model: A model, or the class of a reference model.
            spec: Shape of the images.
            labels, factors, rows: Whether the data has labels and factors, and the run a history.
            sizes: Images of ``train`` and ``test``.
            seed: Which weights, images and history.
        """
        data = BenchData(spec, labels=labels, factors=factors, sizes=sizes, seed=seed)
        built = reference_model(model, data.spec, seed) if isinstance(model, type) else model
        splits = {name: data.split(name) for name in data.splits}
        rows_ = history(worse_by=5.0 * seed) if rows else []
        return RunView("model on bench", built, data, splits, rows_, 0, PlainLoss(NoOptions()))
