"""log p(x) of a model with one or two latent dimensions, by summing p(x|z) p(z) over a grid that adapts to each image."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.interfaces import Model
from genzoo.types import Batch, Capability

MOST_DIMENSIONS = 2
"""Latent dimensions up to which a grid is affordable."""

_POINTS = {1: 1024, 2: 64}
"""Steps of the first grid along each dimension."""

_LEVELS = 9
"""How often the step may be halved."""

_KEPT = 14.0
"""Points this many nats below an image's best are left out: together they hold less than 1e-4 of the mass."""

_SLACK = 24.0
"""What is added to that on the first grid, which may miss a narrow peak; a quarter of it on each finer one."""

_ENLARGED = 4
"""How often the first grid's box may grow, where an image has mass at its edge."""


@dataclass(frozen=True)
class Quadrature:
    """The result, each ``[B]`` on the CPU.

    Args:
        nll: float64, −log p(x) in nats.
        change: float64, how far the last halving of the step moved it: an upper bound on what a finer grid would change.
        converged: bool, whether that is within the tolerance, with several points on the peak.
    """

    nll: Tensor
    change: Tensor
    converged: Tensor


def offers_quadrature(model: Model) -> bool:
    """Whether a model has one level of at most two real-valued latents, drawn from a prior with a density."""
    kinds = {Capability.ONE_LEVEL, Capability.REAL_LATENT}
    return kinds <= model.capabilities and model.levels[0].size <= MOST_DIMENSIONS


@torch.no_grad()
def quadrature_nll(model: Model, batch: Batch, *, tolerance: float = 0.01, rows: int = 4096) -> Quadrature:
    r"""−log p(x) of each image by the trapezoidal rule.

    .. math:: p(x) \approx h^d \sum_{z \in \text{grid}} p(x|z)\, p(z)

    The first grid covers the mass of the prior and of the posteriors. Where an image has its own mass, the step is halved,
    again and again, until halving it no longer changes the sum. The posterior only says where to look as well: it has no
    weight in the sum, so that a posterior far from the mode does no harm. Around its mean the grid is refined in any case.

    Args:
        model: In eval mode, one that `offers_quadrature`.
        batch: Images on the model's device, with labels for a conditional model.
        tolerance: In nats; the rule's error falls so fast with the step that the result is far better than the last change.
        rows: How many images may be decoded at once.
    """
    return _Integral(model, batch, rows).run(tolerance)


class _Integral:
    def __init__(self, model: Model, batch: Batch, rows: int) -> None:
        self.model, self.batch, self.rows = model, batch, rows
        self.shape, self.dims = model.levels[0].shape, model.levels[0].size
        self.images = len(batch)
        self.prior = model.prior_of_top(batch.label)
        by_label = bool(self.prior.batch_shape) or Capability.CONDITIONAL in model.capabilities
        self.labels = batch.label if by_label else None
        posterior = model.encode(batch, samples=32).latents[0].sample.flatten(2).double().cpu()
        self.centre = posterior.mean(0)
        drawn = self.prior.sample(torch.Size([4096 if not self.prior.batch_shape else 256]))
        known = torch.cat([drawn.reshape(-1, self.dims).double().cpu(), posterior.flatten(0, 1)])
        low, high = known.amin(0), known.amax(0)
        margin = 0.25 * (high - low).clamp(min=1e-6)
        self.low, self.high = low - margin, high + margin

    def run(self, tolerance: float) -> Quadrature:
        values = self._first_grid()
        for _ in range(_ENLARGED):
            if not self._at_edge(values):
                break
            middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            self.low, self.high = middle - 1.5 * half, middle + 1.5 * half
            values = self._first_grid()
        return self._refine(values, tolerance)

    # The first grid: every point for every image.

    @property
    def count(self) -> int:
        """Points of the first grid along each dimension."""
        return _POINTS[self.dims] + 1

    @property
    def step(self) -> Tensor:
        return (self.high - self.low) / (self.count - 1)

    def _first_grid(self) -> Tensor:
        """log p(x|z) p(z) of every image at every point, ``[B, n, …]``."""
        axes = [torch.arange(self.count)] * self.dims
        place = torch.cartesian_prod(*axes).reshape(-1, self.dims)
        points = self._points(place, 0)
        values = torch.empty(self.images, len(points), dtype=torch.float64)
        for label, members in self._groups():
            chunk = max(1, 16 * self.rows // len(members))
            for start in range(0, len(points), chunk):
                z = points[start : start + chunk, None]
                values[members, start : start + chunk] = self._joint(z, self.batch.image[members], label).T
        return values.reshape(self.images, *[self.count] * self.dims)

    def _groups(self) -> list[tuple[Tensor | None, Tensor]]:
        """Images that share a prior and a decoder: all of them, or those of each label."""
        if self.labels is None:
            return [(None, torch.arange(self.images))]
        labels = self.labels.cpu()
        return [
            (label[None].to(self.batch.image.device), (labels == label).nonzero()[:, 0]) for label in labels.unique()
        ]

    def _at_edge(self, values: Tensor) -> bool:
        best = values.flatten(1).amax(1)
        edges = [
            values.select(1 + axis, end).reshape(self.images, -1).amax(1)
            for axis in range(self.dims)
            for end in (0, -1)
        ]
        return bool((torch.stack(edges).amax(0) > best - _KEPT).any())

    # Finer grids: points are (image, place) pairs, and only where there is mass.

    def _refine(self, values: Tensor, tolerance: float) -> Quadrature:
        nll = torch.full((self.images,), math.nan, dtype=torch.float64)
        change = torch.full_like(nll, math.inf)
        converged = torch.zeros(self.images, dtype=torch.bool)
        flat = values.flatten(1)
        image = torch.arange(self.images).repeat_interleave(flat.shape[1])
        place = (
            torch.cartesian_prod(*[torch.arange(self.count)] * self.dims).reshape(-1, self.dims).repeat(self.images, 1)
        )
        value = flat.flatten()
        for level in range(_LEVELS + 1):
            left = image.unique()
            total, spread = self._sums(image, value, level)
            even = (place % 2 == 0).all(1)
            coarse, _ = self._sums(image[even], value[even], level - 1)
            nll[left], change[left] = -total[left], (total - coarse).abs()[left]
            converged[left] = (change[left] < tolerance) & (spread[left] > 2.5**self.dims)
            going = ~converged[image]
            if level == _LEVELS or not going.any():
                break
            image, place, value = self._finer(image[going], place[going], value[going], level)
        return Quadrature(nll, change, converged)

    def _sums(self, image: Tensor, value: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The log of each image's sum times the cell, and how many points carry it; −∞ and 0 without points."""
        best = torch.full((self.images,), -math.inf, dtype=torch.float64).scatter_reduce(0, image, value, "amax")
        weight = (value - best[image]).exp()
        zero = torch.zeros(self.images, dtype=torch.float64)
        total = zero.index_add(0, image, weight)
        spread = total.square() / zero.index_add(0, image, weight.square())
        cell = self.step.log().sum() - level * self.dims * math.log(2)
        return best + total.log() + cell, spread.nan_to_num(0.0)

    def _finer(self, image: Tensor, place: Tensor, value: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Points of the next grid around those that matter, and around each posterior's mean, with their values."""
        best = torch.full((self.images,), -math.inf, dtype=torch.float64).scatter_reduce(0, image, value, "amax")
        kept = value > best[image] - _KEPT - _SLACK / 4**level
        left = image.unique()
        around = ((self.centre[left] - self.low) / self.step * 2**level).round().long()
        image, place = torch.cat([image[kept], left]), torch.cat([place[kept], around])
        offsets = torch.tensor(list(itertools.product((-1, 0, 1), repeat=self.dims)))
        place = (2 * place[:, None] + offsets).flatten(0, 1)
        pairs = torch.cat([image.repeat_interleave(len(offsets))[:, None], place], 1).unique(dim=0)
        image, place = pairs[:, 0], pairs[:, 1:]
        points = self._points(place, level + 1)
        parts: list[Tensor] = []
        for start in range(0, len(points), self.rows):
            rows = image[start : start + self.rows].to(self.batch.image.device)
            label = None if self.labels is None else self.labels[rows]
            parts.append(self._joint(points[start : start + self.rows], self.batch.image[rows], label))
        return image, place, torch.cat(parts)

    def _points(self, place: Tensor, level: int) -> Tensor:
        """Latents ``[P, d]`` at places of a level's grid."""
        return self.low + place * self.step / 2**level

    def _joint(self, points: Tensor, image: Tensor, label: Tensor | None) -> Tensor:
        """log p(x|z) + log p(z) of points ``[*, d]``, float64 on the CPU; images and labels broadcast to ``[*]``."""
        latent = points.to(image.device, image.dtype).unflatten(-1, self.shape)
        prior: Distribution = self.model.prior_of_top(label) if self.prior.batch_shape else self.prior
        likelihood = self.model.decode([latent], label)
        return (likelihood.log_prob(image) + prior.log_prob(latent)).double().cpu()
