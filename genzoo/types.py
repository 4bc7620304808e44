"""The values that flow between plugins; importing this module imports no torch.

K samples and B images always lead: ``[K, B, *event]``. K is 1 in ordinary training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from genzoo.subsets import subset_rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.distributions import Distribution

Shape = tuple[int, ...]


class Kind(StrEnum):
    """The nine kinds of plugin."""

    MODEL = "model"
    LOSS = "loss"
    PRIOR = "prior"
    SCHEDULER = "scheduler"
    VISUALIZER = "visualizer"
    LIKELIHOOD = "likelihood"
    NETWORK = "network"
    DATASET = "dataset"
    METRIC = "metric"


class Capability(StrEnum):
    """What a model can do; a loss, visualizer or metric names the ones it requires.

    The set is open: a third party's own is any other string, as ``"their-distribution:word"``.
    """

    REAL_LATENT = "real-latent"
    """Every latent is real-valued."""
    CATEGORICAL_LATENT = "categorical-latent"
    """Every latent is a code, an integer below ``LatentSpec.categories``."""
    ONE_LEVEL = "one-level"
    """There is one level of latents."""
    HIERARCHICAL = "hierarchical"
    """There are several levels of latents, top first."""
    FACTORISED_POSTERIOR = "factorised-posterior"
    """q(z|x) is a product over latent dimensions."""
    DETERMINISTIC_POSTERIOR = "deterministic-posterior"
    """q(z|x) puts all its mass on one point, so that importance sampling says nothing."""
    EXACT_POSTERIOR = "exact-posterior"
    """q(z|x) is p(z|x), or spreads each image evenly over what decodes to it, so that the elbo is the log-likelihood of
    the model up to dequantization."""
    CONDITIONAL = "conditional"
    """The model takes a label and the label changes what it decodes."""


@dataclass(frozen=True)
class ImageSpec:
    """What one image of a dataset is.

    Args:
        shape: (channels, height, width).
        classes: Number of labels, None where there are none.
        levels: Number of grey levels a pixel takes (256 for 8 bits, 2 when binarized), None if continuous.
        class_names: One name a class, for figures.
        conditions: Names of the numbers that a label is a vector of, such as attributes of a face; empty for classes.
    """

    shape: Shape
    classes: int | None = None
    levels: int | None = 256
    class_names: tuple[str, ...] | None = None
    conditions: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether images have labels, classes or vectors of conditions."""
        return self.classes is not None or bool(self.conditions)

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[0]

    @property
    def pixels(self) -> int:
        """Number of scalar values an image, C·H·W."""
        return math.prod(self.shape)

    def class_name(self, label: int) -> str:
        """What a class is called: its name, or its number where names are not known."""
        return self.class_names[label] if self.class_names else str(label)


@dataclass(frozen=True)
class LatentSpec:
    """What one level of latents is: its event shape, and its number of categories if it is discrete."""

    shape: Shape
    categories: int | None = None

    @property
    def support(self) -> str:
        """``"real"`` or ``"categorical"``, matched against a prior's ``supports``."""
        return "real" if self.categories is None else "categorical"

    @property
    def size(self) -> int:
        """Number of scalar values, or codes, that one latent has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Batch:
    """Images with what is known of them.

    Args:
        image: float ``[B, C, H, W]`` in [0, 1].
        label: int64 ``[B]``, or float ``[B, C]`` where it is a vector of the image's conditions; None without labels.
        factors: ``[B, F]`` ground-truth factors or None.
    """

    image: Tensor
    label: Tensor | None = None
    factors: Tensor | None = None

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Batch:
        return Batch(
            self.image[index],
            None if self.label is None else self.label[index],
            None if self.factors is None else self.factors[index],
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.image.to(device),
            None if self.label is None else self.label.to(device),
            None if self.factors is None else self.factors.to(device),
        )

    def with_image(self, image: Tensor) -> Batch:
        """The same labels and factors with other images."""
        return replace(self, image=image)


class Pages(Protocol):
    """The part of a memory-mapped file that the process holds."""

    def read(self, count: int) -> None:
        """Take note that ``count`` bytes were read; now and then let go of what is held."""

    def rows(self, images: Tensor, index: Tensor) -> Tensor:
        """Copy to memory the images at ``index``, int64 from 0 or a mask, of those that are a part of the file."""
        ...


@dataclass(frozen=True)
class Split:
    """A whole split, in memory or memory-mapped.

    Args:
        images: ``[N, C, H, W]``, uint8 (0–255, read as value/255) or float in [0, 1].
        labels: int64 ``[N]``, or float32 ``[N, C]`` of conditions, or None.
        factors: int64 ``[N, F]`` indices of ground-truth factor values, or None.
        pages: Those of ``images`` where they lie in a file and are read as they are asked for; None in memory.
        drawn_from: How many images there were before `subset` or `at` left some out; None where all are there.
    """

    images: Tensor
    labels: Tensor | None = None
    factors: Tensor | None = None
    pages: Pages | None = field(default=None, compare=False, repr=False)
    drawn_from: int | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def mapped(self) -> bool:
        """Whether the images lie in a file."""
        return self.pages is not None

    def head(self, n: int | None) -> Split:
        """The first ``n`` images (all of them when ``n`` is None); of data sorted by class, those of one class."""
        return self if n is None else self.select(slice(0, n))

    def subset(self, n: int | None, seed: int = 0) -> Split:
        """``n`` images drawn by seed over the whole split, in every class, in their order; all when ``n`` is None.

        Args:
            n: How many.
            seed: Of the draw. Figures and metrics leave it at 0, so that they look at the same images in every run.

        See `genzoo.subsets.subset_rows` for how many of each class are drawn.
        """
        return self if n is None or n >= len(self) else self.at(self.rows(n, seed))

    def rows(self, n: int, seed: int = 0) -> Tensor:
        """Which images `subset` draws, int64 ``[min(n, N)]`` in rising order."""
        return subset_rows(len(self), n, seed, self.labels)

    def at(self, rows: Tensor) -> Split:
        """The images at ``rows``, int64 ``[n]``; those in a file stay there and are read as they are asked for."""
        of = self.drawn_from or len(self)
        return replace(self.select(rows), drawn_from=of) if self.pages is None else _Subset(self, rows)

    @property
    def count(self) -> str:
        """How many images there are, for a protocol: ``"all 10000"`` or ``"2000 of 10000"``."""
        of = self.drawn_from or len(self)
        return f"all {of}" if of == len(self) else f"{len(self)} of {of}"

    def select(self, index: slice | Tensor) -> Split:
        """The images at ``index`` with their labels and factors.

        Args:
            index: A slice, which copies nothing; or a mask or int64 ``[n]`` from 0, whose images are copied to memory.
        """
        apart = None if isinstance(index, slice) or self.pages is None else self.pages.rows(self.images, index)
        return Split(
            _rows(self.images, index) if apart is None else apart,
            None if self.labels is None else _rows(self.labels, index),
            None if self.factors is None else _rows(self.factors, index),
            self.pages if isinstance(index, slice) else None,
        )

    def batch(self, index: slice | Tensor | None = None) -> Batch:
        """The images at ``index`` (all by default) as float32 in [0, 1], with their labels and factors."""
        part = self if index is None else self.select(index)
        images = part.images
        scaled = images.float().div_(255) if images.dtype.itemsize == 1 else images.float()
        if part.pages is not None:
            part.pages.read(images.nbytes)
        return Batch(scaled, part.labels, part.factors)

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device, whose memory then holds all of it."""
        images = self.images.to(device)
        return Split(
            images,
            None if self.labels is None else self.labels.to(device),
            None if self.factors is None else self.factors.to(device),
            self.pages if images is self.images else None,
            self.drawn_from,
        )


class _Subset(Split):
    """Some images of a split that lies in a file, anywhere in it; ``images`` copies them to memory when it is read."""

    _whole: Split
    _chosen: Tensor

    def __init__(self, whole: Split, rows: Tensor) -> None:
        labels = None if whole.labels is None else _rows(whole.labels, rows)
        factors = None if whole.factors is None else _rows(whole.factors, rows)
        for name, value in (("labels", labels), ("factors", factors), ("pages", whole.pages)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "drawn_from", whole.drawn_from or len(whole))
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_chosen", rows)

    @property
    def images(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._whole.select(self._chosen).images

    def __len__(self) -> int:
        return len(self._chosen)

    def select(self, index: slice | Tensor) -> Split:
        chosen = self._chosen[index]
        return _Subset(self._whole, chosen) if isinstance(index, slice) else self._whole.select(chosen)

    def at(self, rows: Tensor) -> Split:
        return _Subset(self._whole, self._chosen[rows])

    def batch(self, index: slice | Tensor | None = None) -> Batch:
        return self._whole.batch(self._chosen if index is None else self._chosen[index])


def _rows(values: Tensor, index: slice | Tensor) -> Tensor:
    # index_select copies whole rows; indexing with brackets goes number by number, several times as slowly.
    if isinstance(index, slice) or index.dim() != 1 or index.dtype.itemsize != 8:
        return values[index]
    return values.index_select(0, index)


@dataclass(frozen=True)
class Context:
    """What a loss may know of the run: the scheduled quantities now, and how many training images there are.

    Args:
        values: quantity name → float or 0-d tensor, for example ``{"beta": 0.1}``.
        dataset_size: Number of training images, for minibatch-weighted estimators.
        autocast: Makes the context in which networks run, in the run's precision.
    """

    values: Mapping[str, float | Tensor] = field(default_factory=dict)
    dataset_size: int = 1
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True)
class Latent:
    """One level of latents.

    Args:
        posterior: q(z|x), batch ``[B]`` or ``[K, B]``.
        prior: p(z), batch ``[]``, ``[B]`` or ``[K, B]``.
        sample: ``[K, B, *event]``; integers if categorical.
        decoder_input: What the decoder reads instead of ``sample`` (a straight-through surrogate), or None.
    """

    posterior: Distribution
    prior: Distribution
    sample: Tensor
    decoder_input: Tensor | None = None

    @property
    def to_decoder(self) -> Tensor:
        """What the decoder reads: ``decoder_input`` where there is one, ``sample`` elsewhere."""
        return self.sample if self.decoder_input is None else self.decoder_input


@dataclass(frozen=True)
class Encoding:
    """What a model makes of a batch before decoding.

    Args:
        latents: One a level, top first.
        auxiliary: name → ``[B]`` extra terms, weighted, in nats per image, that every objective adds.
        state: name → detached tensors for ``Model.after_step`` and metrics.
    """

    latents: tuple[Latent, ...]
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelOutput:
    """An encoding with the likelihood decoded from it, batch ``[K, B]`` and event ``[C, H, W]``."""

    latents: tuple[Latent, ...]
    likelihood: Distribution
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossTerms:
    """An objective and what it is made of, each a batch mean in nats per image.

    Args:
        objective: ``[]``, what the optimizer minimises.
        terms: name → ``[]``, weighted; they sum to the objective.
        distortion: ``[]``, −E_q log p(x|z), unweighted.
        rates: ``[L]``, KL(q ‖ p) a level, unweighted, top first.
    """

    objective: Tensor
    terms: Mapping[str, Tensor]
    distortion: Tensor
    rates: Tensor

    @property
    def rate(self) -> Tensor:
        """``[]``, the sum of the rates of all levels."""
        return self.rates.sum()

    @property
    def elbo(self) -> Tensor:
        """−(distortion + rate); higher is better."""
        return -(self.distortion + self.rate)


@dataclass(frozen=True)
class Report:
    """A number that an objective reports for each epoch and split.

    Args:
        name: Its key in a row of metrics.jsonl.
        label: What figures call it.
        unit: Such as ``"nats"``.
        better: Which direction is better, None where neither is.
        scale: Of the axis that draws it.
        shown: Whether progress lines and tables of runs show it.
    """

    name: str
    label: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    scale: Literal["linear", "log"] = "linear"
    shown: bool = True
