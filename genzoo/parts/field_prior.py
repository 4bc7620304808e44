"""The base of priors that carry noise to latents with a learned field: diffusion, flow matching."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from genzoo.distributions import StandardNormal
from genzoo.errors import UsageError
from genzoo.interfaces.prior import Encode
from genzoo.parts.field_options import FieldPriorOptions
from genzoo.parts.fitted_after import Drawn, FittedAfter
from genzoo.parts.labels import one_hot
from genzoo.types import ImageSpec, LatentSpec, Shape

FREQUENCIES = 16
"""Pairs of sine and cosine that a field sees the time as."""


class FieldPrior(FittedAfter):
    r"""A prior whose draws are carried from noise by a field, a network of ``(z, t, c)`` with values in the space of z.

    It is fitted after the model, and N(0, I) until then. A conditional one learns the field without a label as well, by
    leaving out the labels of some images (``drop_label``), and draws with

    .. math:: f(z, t) + w\, (f(z, t, c) - f(z, t))

    for the guidance w; 1 is p(z|c), more gives typical draws of the class with less variety.

    Subclass requirements: `fit_loss`, which calls `begin`, and `draw`; ``log_prob`` where ``density`` is not "none".

    Args:
        options: Whether it uses labels, how it draws with them, and how long it is fitted.
        latent: Real-valued latents; their shape is the field's image.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not.

    References:
        Ho and Salimans 2022, *Classifier-Free Diffusion Guidance*, equation 6 with w counted from 1.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"real"})
    needs_field: ClassVar[bool] = True
    options: FieldPriorOptions
    frequencies: Tensor
    field: nn.Module

    def __init__(self, options: FieldPriorOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        waves = torch.exp(torch.linspace(0, math.log(1000), FREQUENCIES))
        self.register_buffer("frequencies", waves, persistent=False)

    def prepare(self, field: Callable[[Shape, Shape], nn.Module]) -> None:
        """See `Prior.prepare`."""
        self.field = field(self.latent.shape, (2 * FREQUENCIES + self.classes,))

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; without a label a conditional prior draws the labels too."""
        if not self.begun:
            like = self.frequencies
            return StandardNormal(self.latent.shape, dtype=like.dtype, device=like.device)
        return Carried(self, label if self.classes else None)

    @property
    def dropped(self) -> float:
        """Part of the labels that fitting leaves out now."""
        return self.options.drop_label if self.training and self.classes else 0.0

    def times(self, n: int) -> Tensor:
        """``[n]`` times in [0, 1), evenly spaced with one random offset, which lowers the noise of a mean over them.

        References:
            Kingma et al. 2021, *Variational Diffusion Models*, appendix I.1.
        """
        device = self.frequencies.device
        return (torch.rand((), device=device) + torch.arange(n, device=device) / n) % 1

    def at(self, latents: Tensor, time: Tensor, label: Tensor | None = None, *, drop: float = 0.0) -> Tensor:
        """The field f(z, t, c), ``[B, *event]``.

        Args:
            latents: ``[B, *event]``.
            time: ``[B]`` in [0, 1].
            label: int64 ``[B]``; required by a conditional prior.
            drop: Part of the labels to leave out, drawn at random.
        """
        return self.field(latents, self._condition(time, label, drop).to(latents.dtype))

    def guided(self, latents: Tensor, time: Tensor, label: Tensor | None) -> Tensor:
        """The field with which draws are made; see `at` for the arguments."""
        weight = self.options.guidance
        if not self.classes or weight == 1:
            return self.at(latents, time, label)
        both = self._condition(time, label, 0.0), self._condition(time, label, 1.0)
        seen, unseen = self.field(torch.cat([latents, latents]), torch.cat(both).to(latents.dtype)).chunk(2)
        return torch.lerp(unseen, seen, weight)

    def _condition(self, time: Tensor, label: Tensor | None, drop: float) -> Tensor:
        angles = time[:, None].to(self.frequencies.dtype) * self.frequencies
        parts = [angles.sin(), angles.cos()]
        if self.classes:
            if label is None:
                raise UsageError(f"{self.name}: label must be given to a conditional prior, got None.")
            shown = one_hot(label, self.classes)
            if drop >= 1:
                shown = torch.zeros_like(shown)
            elif drop > 0:
                shown = shown * (torch.rand(len(label), 1, device=label.device) >= drop)
            parts.append(shown)
        return torch.cat([part.to(angles.dtype) for part in parts], 1)

    def noise(self, n: int) -> Tensor:
        """``[n, *event]`` of N(0, I)."""
        like = self.frequencies
        return torch.randn(n, *self.latent.shape, dtype=like.dtype, device=like.device)

    def log_prob(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """What is known of log p(z), ``[B]`` for ``[B, *event]``; see ``density``."""
        raise UsageError(
            f"{self.name}: log p(z) is not known, so that nothing can be computed from it.",
            "Choose another metric (`genzoo list metric`), or a prior with a density.",
        )


class Carried(Drawn):
    """The distribution of what a fitted `FieldPrior` draws. See `Drawn`."""

    support = constraints.real  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: FieldPrior, label: Tensor | None) -> None:
        super().__init__(prior, label)
        self._prior = prior

    def log_prob(self, value: Tensor) -> Tensor:
        """``[*leading]`` for ``[*leading, *event]``; see `FieldPrior.log_prob`."""
        leading = value.shape[: value.dim() - len(self.event_shape)]
        flat = value.reshape(-1, *self.event_shape)
        return self._prior.log_prob(flat, self.labels(leading)).reshape(leading)
