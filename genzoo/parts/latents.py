"""Codes of images, paths and axes between them, and images of codes: what figures of a latent space are made of.

Every function runs under ``no_grad``, in batches, and leaves the model's mode alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError
from genzoo.interfaces.generator import LatentGenerator
from genzoo.interfaces.model import Model
from genzoo.types import Batch, Latent

CHUNK = 250
"""Images in one batch."""


@dataclass(frozen=True)
class Codes:
    """What a model makes of images, one tensor a level, top first.

    Args:
        levels: Posterior means of real latents, codes of categorical ones, each ``[N, *event]``.
        samples: One posterior sample an image, each ``[N, *event]``.
        inputs: What the decoder reads of each point, real-valued: the posterior mean, or a code's embedding.
        rates: Mean rate of each dimension of the top level in nats, ``[*event]``; None where the posterior and the
            prior do not both factorise.
    """

    levels: tuple[Tensor, ...]
    samples: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    rates: Tensor | None

    @property
    def top(self) -> Tensor:
        """The codes of the top level."""
        return self.levels[0]


@torch.no_grad()
def encode(model: Model, batch: Batch, chunk: int = CHUNK) -> Codes:
    """Posterior means, codes and samples of images.

    Args:
        model: Any model.
        batch: Images, with labels for a conditional model.
        chunk: Images encoded at once.

    Raises:
        UsageError: If there is no image.
    """
    if not isinstance(model, Model):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"encode: the model must encode images, and {type(model).__name__} only generates them.",
            "Its samples, traversals and class figures need no encoder.",
        )
    if not len(batch):
        raise UsageError("encode: batch must have at least one image, got none.")
    points: list[tuple[Tensor, ...]] = []
    samples: list[tuple[Tensor, ...]] = []
    inputs: list[tuple[Tensor, ...]] = []
    rates: list[Tensor] | None = []
    for start in range(0, len(batch), chunk):
        latents = model.encode(batch[start : start + chunk]).latents
        points.append(tuple(_point(latent) for latent in latents))
        samples.append(tuple(latent.sample[0] for latent in latents))
        inputs.append(tuple(_point(item) if item.decoder_input is None else item.decoder_input[0] for item in latents))
        measured = estimators.rate_per_dimension(latents[0])
        if measured is None or rates is None:
            rates = None
        else:
            event = latents[0].sample.shape[2:]
            rates.append(measured.expand(latents[0].sample.shape).reshape(-1, *event))
    return Codes(
        tuple(torch.cat(level) for level in zip(*points, strict=True)),
        tuple(torch.cat(level) for level in zip(*samples, strict=True)),
        tuple(torch.cat(level) for level in zip(*inputs, strict=True)),
        None if rates is None else torch.cat(rates).mean(0),
    )


def _point(latent: Latent) -> Tensor:
    """The posterior mean, ``[B, *event]``; the sample where it is a code or the posterior has no mean."""
    sample = latent.sample[0]
    if not sample.is_floating_point():
        return sample
    try:
        mean = latent.posterior.mean
    except NotImplementedError:
        return sample
    return mean.expand(latent.sample.shape)[0]


@torch.no_grad()
def decode_images(
    model: LatentGenerator, levels: Sequence[Tensor], label: Tensor | None = None, chunk: int = CHUNK
) -> Tensor:
    """Images of codes, as they are displayed; lower levels that are not given are their mean.

    Args:
        model: Any model.
        levels: One tensor a level, top first, each ``[N, *event]``.
        label: int64 ``[N]``, for a conditional model.
        chunk: Codes decoded at once.

    Returns:
        ``[N, C, H, W]`` in [0, 1], on the CPU.
    """
    images: list[Tensor] = []
    for start in range(0, len(levels[0]), chunk):
        part = slice(start, start + chunk)
        made = model.generate([level[part] for level in levels], None if label is None else label[part])
        images.append(made.float().cpu())
    return torch.cat(images)


@torch.no_grad()
def draw_prior(model: LatentGenerator, n: int, label: Tensor | None = None) -> Tensor:
    """``n`` draws of the top level's prior, ``[n, *event]``, from torch's random state.

    Args:
        model: Any model.
        n: How many.
        label: int64 ``[n]``; used by a conditional prior only.
    """
    return model.sample_top(n, label)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a prior's dimensions, each ``[*event]``."""

    mean: Tensor
    deviation: Tensor


@torch.no_grad()
def prior_scale(model: LatentGenerator, label: int | None = None, draws: int = 10_000) -> Scale:
    """The mean and standard deviation of each dimension of the top level's prior.

    A flow's, a mixture's or a learned prior is not N(0, I), so a span of three standard deviations is three of these.
    A diagonal normal's are read off; others are estimated from draws under torch's random state.

    Args:
        model: With a real-valued top level.
        label: The class, for a conditional prior.
        draws: Number of draws of the estimate.
    """
    device = next(iter((*model.parameters(), *model.buffers())), torch.zeros(0)).device
    given = None if label is None else torch.full((1,), label, dtype=torch.int64, device=device)
    prior = model.prior_of_top(given)
    event = model.levels[0].shape
    if isinstance(prior, DiagonalNormal):
        return Scale(prior.mean.expand(1, *event)[0], prior.stddev.expand(1, *event)[0])
    values = prior.sample(torch.Size([draws])).reshape(-1, *event)
    return Scale(values.mean(0), values.std(0, correction=0))


def axis(span: float, steps: int) -> Tensor:
    """``steps`` evenly spaced values from −span to span, ``[steps]``; the middle is exactly 0 where steps is odd.

    Example:
        >>> axis(3, 5).tolist()
        [-3.0, -1.5, 0.0, 1.5, 3.0]
    """
    half = torch.linspace(-span, span, steps)
    return (half - half.flip(0)) / 2


def along(start: Tensor, scale: Scale, dimension: int, offsets: Tensor) -> Tensor:
    """Codes that differ in one dimension only, ``[steps, *event]``.

    Args:
        start: The code ``[*event]`` whose other dimensions are kept.
        scale: The prior's.
        dimension: Index into the flattened event.
        offsets: ``[steps]``, counted from the prior's mean in its standard deviations.
    """
    codes = start.flatten().repeat(len(offsets), 1)
    deviation = scale.deviation.flatten()[dimension]
    codes[:, dimension] = scale.mean.flatten()[dimension] + offsets.to(codes) * deviation
    return codes.reshape(len(offsets), *start.shape)


def linear_path(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""Points on the straight line between codes, :math:`(1-t)\,a + t\,b`.

    Args:
        start, end: ``[N, *event]``.
        steps: Number of points, both ends among them.

    Returns:
        ``[N, steps, *event]``.

    Example:
        >>> linear_path(torch.tensor([[0.0]]), torch.tensor([[1.0]]), 3).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    t = torch.linspace(0, 1, steps).to(start).view(1, steps, *([1] * (start.dim() - 1)))
    return torch.lerp(start[:, None].expand(-1, steps, *start.shape[1:]), end[:, None], t)


def spherical_path(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""Points on the great arc between codes.

    .. math:: \frac{\sin((1-t)\Omega)}{\sin\Omega}\, a + \frac{\sin(t\Omega)}{\sin\Omega}\, b

    Ω is the angle at the origin. Where the two are parallel or opposite, the path is the straight line.

    Args:
        start, end: ``[N, *event]``.
        steps: Number of points, both ends among them.

    Returns:
        ``[N, steps, *event]``.

    References:
        Shoemake 1985, *Animating rotation with quaternion curves*; White 2016, *Sampling generative networks*, section 2.1.

    Example:
        >>> half = spherical_path(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 3)[0, 1]
        >>> [round(value, 4) for value in half.tolist()]
        [0.7071, 0.7071]
    """
    a, b = start.flatten(1).double(), end.flatten(1).double()
    norms = a.norm(dim=1) * b.norm(dim=1)
    angle = ((a * b).sum(1) / norms.clamp_min(1e-9)).clamp(-1, 1).arccos()[:, None, None]
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=a.device).view(1, steps, 1)
    sine = angle.sin()
    straight = (sine.abs() < 1e-6) | (norms < 1e-9)[:, None, None]
    safe = torch.where(straight, torch.ones_like(sine), sine)
    arc = ((1 - t) * angle).sin() / safe * a[:, None] + (t * angle).sin() / safe * b[:, None]
    line = (1 - t) * a[:, None] + t * b[:, None]
    path = torch.where(straight, line, arc)
    return path.to(start).reshape(len(start), steps, *start.shape[1:])
