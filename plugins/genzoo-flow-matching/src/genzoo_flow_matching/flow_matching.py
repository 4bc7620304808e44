"""The `flow-matching` prior and its distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from genzoo.distributions import StandardNormal
from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.parts.labels import one_hot
from genzoo.types import ImageSpec, LatentSpec, Report, Shape
from genzoo_flow_matching.options import FlowMatchingOptions

FREQUENCIES = 16
"""Pairs of sine and cosine that the field sees the time as."""


class FlowMatching(Prior):
    r"""Noise carried to latents along a velocity field, learned by regression on straight paths.

    .. math::
        z_t = (1 - t)\, z_0 + t\, z_1, \qquad
        \min_v \mathbb E\, \tfrac1D \| v(z_t, t, c) - (z_1 - z_0) \|^2, \qquad z_0 \sim \mathcal N(0, I)

    A draw solves dz/dt = v(z, t, c) from t = 0 to 1 by Euler steps. Before it is fitted it is N(0, I). Its density is not
    known at the price of a draw, so that no elbo is computed with it.

    Times of a batch are evenly spaced with one random offset, which lowers the noise of the loss.

    Args:
        options: Steps of a draw, whether it uses labels, and how long it is fitted.
        latent: Real-valued latents; their shape is the field's image.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not.

    References:
        Lipman et al. 2023, Flow Matching for Generative Modeling, equations 9 and 23 with σ_min = 0; Kingma et al. 2021,
        Variational Diffusion Models, appendix I.1, for the times.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"real"})
    fitted: ClassVar[Literal["joint", "after"]] = "after"
    density: ClassVar[Literal["exact", "bound", "estimate", "none"]] = "none"
    needs_field: ClassVar[bool] = True
    fit_report: ClassVar[Report] = Report("velocity_error", "Squared error of the velocity", "", "lower")
    steps: Tensor
    frequencies: Tensor
    options: FlowMatchingOptions
    field: nn.Module

    def __init__(self, options: FlowMatchingOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.conditional = options.conditional  # pyright: ignore[reportAttributeAccessIssue]
        if options.conditional and not image.classes:
            raise IncompatibleError(
                "flow-matching: the dataset must have labels, got one without.", "Leave conditional off."
            )
        self.classes = (image.classes or 0) if options.conditional else 0
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        waves = torch.exp(torch.linspace(0, math.log(1000), FREQUENCIES))
        self.register_buffer("frequencies", waves, persistent=False)
        # The same on the host, so that no step waits for the device to know whether the prior is fitted.
        self._begun = False
        self.register_load_state_dict_post_hook(_recall)

    def prepare(self, field: Callable[[Shape, Shape], nn.Module]) -> None:
        """See `Prior.prepare`."""
        self.field = field(self.latent.shape, (2 * FREQUENCIES + self.classes,))

    @property
    def fit_epochs(self) -> int | None:
        """See `Prior.fit_epochs`."""
        return self.options.epochs

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; without a label a conditional prior draws the labels too."""
        if not self._begun:
            like = self.frequencies
            return StandardNormal(self.latent.shape, dtype=like.dtype, device=like.device)
        return Carried(self, label if self.classes else None)

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.nll`; refused, since the density is not known."""
        raise UsageError("flow-matching: −log p(z) is not known; fitting minimises the velocity's squared error.")

    def fit_loss(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.fit_loss`; the squared error of the velocity, mean over dimensions."""
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            self._begun = True
        n = len(latents)
        noise = torch.randn_like(latents)
        time = (torch.rand((), device=latents.device) + torch.arange(n, device=latents.device) / n) % 1
        t = time.to(latents.dtype).reshape(n, *([1] * len(self.latent.shape)))
        error = self.velocity(torch.lerp(noise, latents, t), time, label) - (latents - noise)
        return error.float().square().flatten(1).mean(1)

    def velocity(self, latents: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """v(z, t, c), ``[B, *event]``.

        Args:
            latents: ``[B, *event]``.
            time: ``[B]`` in [0, 1].
            label: int64 ``[B]``; required by a conditional prior.
        """
        angles = time[:, None].to(self.frequencies.dtype) * self.frequencies
        parts = [angles.sin(), angles.cos()]
        if self.classes:
            if label is None:
                raise UsageError("flow-matching: label must be given to a conditional prior, got None.")
            parts.append(one_hot(label, self.classes))
        return self.field(latents, torch.cat(parts, 1).to(latents.dtype))

    @torch.no_grad()
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """``n`` draws, ``[n, *event]``, for labels ``[n]``; None draws the labels too."""
        like = self.frequencies
        if self.classes and label is None:
            label = torch.randint(self.classes, (n,), device=like.device)
        z = torch.randn(n, *self.latent.shape, dtype=like.dtype, device=like.device)
        count = self.options.steps
        for step in range(count):
            z = z + self.velocity(z, torch.full((n,), step / count, device=like.device), label) / count
        return z


class Carried(Distribution):
    """The distribution of what a fitted `FlowMatching` draws; its density is not known.

    Args:
        prior: The prior.
        label: int64 ``[B]``, which makes the batch ``[B]``, or None for batch ``[]``.
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.real  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: FlowMatching, label: Tensor | None) -> None:
        self._prior, self._label = prior, label
        batch = torch.Size() if label is None else label.shape
        super().__init__(batch, torch.Size(prior.latent.shape), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Latents ``[*sample_shape, *batch, *event]``."""
        leading = torch.Size(sample_shape) + self.batch_shape
        label = None if self._label is None else self._label.expand(leading).reshape(-1)
        return self._prior.draw(leading.numel(), label).reshape(leading + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Refused."""
        raise UsageError(
            "flow-matching: log p(z) is not known, so that nothing can be computed from it.",
            "Choose another metric (`genzoo list metric`), or a prior with a density.",
        )


def _recall(module: nn.Module, incompatible: Any) -> None:
    """After weights are loaded: take over whether they are fitted ones."""
    if isinstance(module, FlowMatching):
        module._begun = bool(module.steps > 0)  # pyright: ignore[reportPrivateUsage]
