"""What every metric here is computed from: codes and factors of images, encoded once and indexed from then on."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genzoo.errors import UsageError
from genzoo.interfaces import RunView
from genzoo.parts.latents import encode
from genzoo.randomness import derive
from genzoo.types import Split

Codes = NDArray[np.float64]
Factors = NDArray[np.int64]

_CHUNK = 2000


@dataclass(frozen=True)
class Representation:
    """Codes and factors of the same images, one row an image.

    Args:
        codes: ``[N, C]``, posterior means.
        factors: ``[N, F]``, values of those factors that take more than one.
        origin: Which images they are, for a protocol.

    Raises:
        UsageError: If the rows do not match, there are none, a code is not finite or a factor is constant.
    """

    codes: Codes
    factors: Factors
    origin: str = ""

    def __post_init__(self) -> None:
        for name, value, columns in (("codes", self.codes, "C"), ("factors", self.factors, "F")):
            if value.ndim != 2 or 0 in value.shape:
                raise UsageError(f"score: {name} must be [N, {columns}] and not empty, got {list(value.shape)}.")
        if len(self.codes) != len(self.factors):
            raise UsageError(
                "score: codes and factors must have one row an image each, got "
                f"{list(self.codes.shape)} and {list(self.factors.shape)}.",
                "Transpose the one that has its images in columns; a reshape would mix them up.",
            )
        if not np.isfinite(self.codes).all():
            raise UsageError("score: codes must be finite, got NaN or infinity.", "Look at the run's log.")
        constant = np.flatnonzero((self.factors == self.factors[0]).all(0))
        if len(constant):
            raise UsageError(
                f"score: factors must each take two values or more, got one in column {constant[0]}.",
                "Leave the column out, or score more images.",
            )

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.int64]) -> Representation:
        """These rows, without the factors that are constant in them."""
        factors = self.factors[rows]
        varying = (factors != factors[0]).any(0)
        return Representation(self.codes[rows], factors[:, varying])

    def two_parts(
        self, train_points: int, eval_points: int, random: np.random.Generator
    ) -> tuple[Representation, Representation]:
        """Disjoint random rows to fit on and to score on; fewer, in proportion, where there are not enough."""
        if len(self) < 2:
            raise UsageError(f"score: there must be at least 2 images, got {len(self)}.")
        train_points, eval_points = points_of(len(self), train_points, eval_points)
        order = random.permutation(len(self))
        fit, score = order[:train_points], order[train_points : train_points + eval_points]
        varying = (self.factors[fit] != self.factors[fit[0]]).any(0)
        return (
            Representation(self.codes[fit], self.factors[fit][:, varying]),
            _unchecked(self.codes[score], self.factors[score][:, varying]),
        )


def points_of(images: int, train_points: int, eval_points: int) -> tuple[int, int]:
    """How many of so many images are fitted and scored: those that are asked for, or fewer in proportion."""
    wanted = train_points + eval_points
    if images >= wanted:
        return train_points, eval_points
    train = min(images - 1, max(1, round(images * train_points / wanted)))
    return train, images - train


def _unchecked(codes: Codes, factors: Factors) -> Representation:
    """Rows to score on, where a factor may happen to be constant."""
    part = object.__new__(Representation)
    object.__setattr__(part, "codes", codes)
    object.__setattr__(part, "factors", factors)
    return part


class Siblings:
    """Finds images that share a factor's value with a given one, in constant time.

    Args:
        factors: ``[N, F]``.
    """

    def __init__(self, factors: Factors) -> None:
        self._order = np.argsort(factors, axis=0, kind="stable")
        values = np.take_along_axis(factors, self._order, axis=0)
        starts = np.ones_like(values, dtype=bool)
        starts[1:] = values[1:] != values[:-1]
        place = np.arange(len(factors))[:, None]
        first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
        last = np.flip(np.minimum.accumulate(np.flip(_ends(starts, place)), axis=0))
        self._place, self._first, self._count = (np.empty_like(self._order) for _ in range(3))
        np.put_along_axis(self._place, self._order, np.broadcast_to(place, factors.shape), axis=0)
        np.put_along_axis(self._first, self._order, first, axis=0)
        np.put_along_axis(self._count, self._order, last - first + 1, axis=0)

    def other(
        self, image: NDArray[np.int64], factor: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Another image with the same value of ``factor``, at random; the image itself where it is the only one."""
        first, count = self._first[image, factor], self._count[image, factor]
        step = 1 + np.floor(random.random(image.shape) * (count - 1)).astype(np.int64)
        return self._order[first + (self._place[image, factor] - first + step) % count, factor]

    def any(
        self, image: NDArray[np.int64], factor: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """An image with the same value of ``factor``, at random, which may be the image itself."""
        first, count = self._first[image, factor], self._count[image, factor]
        return self._order[first + np.floor(random.random(image.shape) * count).astype(np.int64), factor]


def _ends(starts: NDArray[np.bool_], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each group's last row, there, and a large number elsewhere."""
    ends = np.ones_like(starts)
    ends[:-1] = starts[1:]
    return np.where(ends, place, len(starts))


def represent(run: RunView, images: int) -> Representation:
    """Posterior means of all levels, side by side, with the factors of the same images.

    The images are a seeded draw from the factors' whole grid where the dataset can render it, and otherwise one
    from all splits. Metrics of one view share the work. Factors count as far as an image tells them:
    see `Dataset.identifiable`.

    Raises:
        UsageError: If the run has no images, the data no factors, or none of them varies.
    """
    key = (images, *(tensor._version for tensor in (*run.model.parameters(), *run.model.buffers())))
    if _memory and _memory[0]() is run and _memory[1] == key:
        return _memory[2]
    run.split("test")
    split, origin = _factor_sample(run, images)
    parts: list[NDArray[Any]] = []
    for start in range(0, len(split), _CHUNK):
        batch = split.batch(slice(start, start + _CHUNK)).to(run.device)
        batch = batch.with_image(run.dataset.transform(batch.image, training=False))
        levels = [level.flatten(1) for level in encode(run.model, batch).levels]
        parts.append(torch.cat(levels, dim=1).double().cpu().numpy())
    assert split.factors is not None
    told = run.dataset.identifiable(split.factors)
    if merged := _names(run, (told != split.factors).any(0)):
        origin += f", {merged} counted as far as pixels tell it"
    factors = told.cpu().numpy()
    varying = (factors != factors[:1]).any(0)
    if not varying.any():
        raise UsageError("score: at least one factor must take two values or more, got none.", "Score more images.")
    result = Representation(np.concatenate(parts), factors[:, varying], origin)
    _memory[:] = [weakref.ref(run, lambda _: _memory.clear()), key, result]
    return result


_memory: list[Any] = []


def _names(run: RunView, columns: torch.Tensor) -> str:
    """What these factors are called."""
    names = run.dataset.factor_names
    return ", ".join(names[i] if i < len(names) else f"factor {i}" for i in columns.nonzero()[:, 0].tolist())


def _factor_sample(run: RunView, images: int) -> tuple[Split, str]:
    """Images with factors, and which they are."""
    sizes = run.dataset.factor_sizes
    if sizes:
        generator = torch.Generator().manual_seed(derive(run.seed, "factors"))
        columns = [torch.randint(size, (images,), generator=generator) for size in sizes]
        rendered = run.dataset.render(torch.stack(columns, dim=1))
        if rendered is not None:
            return rendered, f"{len(rendered)} encoded images of the grid, drawn by seed {run.seed}"
    splits = [split for split in run.splits.values() if split.factors is not None and len(split)]
    if not splits:
        raise UsageError("score: the data must have ground-truth factors, got none.", "Choose --data sprites.")
    everything = Split(
        torch.cat([split.images for split in splits]),
        torch.cat([split.labels for split in splits if split.labels is not None])
        if all(split.labels is not None for split in splits)
        else None,
        torch.cat([split.factors for split in splits if split.factors is not None]),
    )
    generator = torch.Generator().manual_seed(derive(run.seed, "factors"))
    drawn = everything.select(torch.randperm(len(everything), generator=generator)[:images])
    return drawn, f"{len(drawn)} encoded images of the {len(everything)} in all splits, drawn by seed {run.seed}"
