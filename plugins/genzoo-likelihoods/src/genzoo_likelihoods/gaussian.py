"""The `gaussian` likelihood: one normal a pixel, with a fixed or learned scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.distributions import DiagonalNormal
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Likelihood
from genzoo.types import ImageSpec
from genzoo_likelihoods.options import GaussianOptions

MEMORY = 100
"""Steps that the running mean of the optimal variance remembers."""

LEAST_COST = 0.5
"""A scale that costs less than this many nats per image is as good as the best."""


class Gaussian(Likelihood):
    r"""p(x|z) with one normal a pixel and channel, all constants kept.

    .. math:: -\log p(x|z) = \sum_i \frac{(x_i - \mu_i)^2}{2\sigma^2} + \log\sigma + \tfrac12\log 2\pi

    σ is ``scale`` (``learn="none"``), one parameter (``"global"``), the optimum for the decoder's errors (``"optimal"``),
    or a second half of the decoder's channels (``"pixel"``). A variance learned by gradient is
    :math:`\sigma^2 = \mathrm{floor}^2 + e^{\ell}`, which has a gradient everywhere and keeps the density from growing
    without bound on constant pixels; it starts at ``scale``. Adam moves its logarithm by the learning rate per step at most,
    so that a short run can end far from the optimum.

    The optimum is the mean squared error over all pixels of a batch, and at least the floor:

    .. math:: \sigma^{2*} = \max\Big(\mathrm{floor}^2, \frac{1}{BP}\sum_{n,i} (x_{ni} - \mu_{ni})^2\Big)

    In training each batch is scored with its own optimum. A density must not depend on what it scores, so evaluation uses
    the running mean of the batches' optima, over about the last `MEMORY` steps, which is saved with the weights.

    Pixels are in [0, 1], so σ is in units of the full range, and nats are those of a density: they may be negative and
    do not compare with a discrete likelihood's.

    Args:
        options: The scale, whether it is learned, and its floor.

    References:
        Rybkin, Daniilidis and Levine 2021, *Simple and Effective VAE Training with Calibrated Decoders*, sections 3.1 (one
        learned variance) and 3.2 (its optimum).

    Differs from the paper:
        No gradient passes through the optimal variance. For a mean over the batch there is none: its derivative vanishes at
        the optimum. Evaluation uses a running mean, which the paper leaves open, and the floor bounds σ instead of a soft
        clip of log σ.
    """

    options: GaussianOptions
    running: Tensor

    def __init__(self, options: GaussianOptions) -> None:
        super().__init__(options)
        if options.learn == "global":
            self.raw_log_variance = nn.Parameter(torch.tensor(self._start))
        if options.learn == "optimal":
            # The running sum of mean squared errors and of their weights.
            self.register_buffer("running", torch.zeros(2))

    @property
    def _start(self) -> float:
        """The ℓ at which a learned scale is ``scale``."""
        return math.log(self.options.scale**2 - self.options.floor**2)

    def channels(self, image: ImageSpec) -> int:
        """See `Likelihood.channels`: means, and log-variances where there is one a pixel."""
        return image.channels * (2 if self.options.learn == "pixel" else 1)

    def distribution(self, raw: Tensor) -> Distribution:
        """See `Likelihood.distribution`."""
        match self.options.learn:
            case "pixel":
                mean, offset = raw.chunk(2, dim=-3)
                log_variance = self._above_floor(offset + self._start)
            case "global":
                mean = raw
                log_variance = self._above_floor(self.raw_log_variance.to(raw.dtype)).expand_as(raw)
            case "optimal":
                mean = raw
                if self.training and torch.is_grad_enabled():
                    return Calibrated(raw, self)
                log_variance = self.variance.log().to(raw.dtype).expand_as(raw)
            case "none":
                mean = raw
                log_variance = torch.full_like(raw[..., :1, :1, :1], 2 * math.log(self.options.scale)).expand_as(raw)
        return DiagonalNormal(mean, log_variance, event_dims=3)

    @property
    def variance(self) -> Tensor:
        """σ² in evaluation, ``[]``, where one holds for all pixels."""
        options = self.options
        if options.learn == "global":
            return self._above_floor(self.raw_log_variance).exp()
        if options.learn == "none":
            return torch.tensor(options.scale**2)
        total, weight = self.running
        fixed = torch.full_like(total, options.scale**2)
        return torch.where(weight > 0, total / weight.clamp_min(1e-12), fixed).clamp_min(options.floor**2)

    @torch.no_grad()
    def observe(self, squared_error: Tensor) -> None:
        """Take a batch's mean squared error, ``[]``, into the running mean; one that is not finite is left out."""
        new = torch.stack([squared_error, torch.ones_like(squared_error)]).to(self.running)
        moved = torch.lerp(new, self.running, 1 - 1 / MEMORY)
        self.running.copy_(torch.where(torch.isfinite(squared_error), moved, self.running))

    def least_distortion(self, image: Tensor) -> Tensor | None:
        """See `Likelihood.least_distortion`: at a mean that equals the image; None for a scale per pixel."""
        if self.options.learn == "pixel":
            return None
        return image[0].numel() * 0.5 * (self.variance.log() + math.log(2 * math.pi)).to(image).expand(len(image))

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Likelihood.diagnose`: σ, the best σ for the decoder's errors, and what the difference costs."""
        options, error = self.options, evidence.squared_error
        if options.learn == "pixel" or error is None:
            return ()
        variance, best = float(self.variance.detach()), max(error, options.floor**2)
        cost = 0.5 * evidence.pixels * (best / variance - 1 + math.log(variance / best))
        how = {"none": "fixed", "global": "learned", "optimal": "the running optimum"}[options.learn]
        text = f"σ is {math.sqrt(variance):.4g} ({how}); for these errors {math.sqrt(best):.4g} would be best"
        if cost < LEAST_COST:
            return [Finding("good", f"{text}.")]
        text += f", by {cost:.2f} nats per image."
        if options.learn == "global":
            return [Finding("fault", text, "--likelihood.learn optimal")]
        judged = evidence.used and not evidence.early and not evidence.worse_than_constant
        if judged and options.learn == "none" and cost > evidence.pixels:
            return [Finding("fault", text, f"--likelihood.scale {math.sqrt(best):.2g} or --likelihood.learn optimal")]
        wide = options.learn == "none" and evidence.starved and variance > 2 * best
        remedy = "a smaller --likelihood.scale or --likelihood.learn optimal" if wide else ""
        return [Finding("note", text, remedy)]

    def _above_floor(self, log_variance: Tensor) -> Tensor:
        return torch.logaddexp(log_variance, torch.full_like(log_variance, 2 * math.log(self.options.floor)))


class Calibrated(DiagonalNormal):
    """A normal whose `log_prob` takes the variance that is best for all values of the batch; for training alone.

    Samples and moments are those of the variance that evaluation would use now.

    Args:
        mean: ``[*, C, H, W]``.
        likelihood: The `Gaussian` that keeps the running mean.
    """

    def __init__(self, mean: Tensor, likelihood: Gaussian) -> None:
        self._likelihood = likelihood
        self._observed = False
        super().__init__(mean, likelihood.variance.log().to(mean.dtype).expand_as(mean), event_dims=3)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of ``[*, C, H, W]``, ``[*]`` in nats."""
        squared = (value - self.mean).square()
        error = over_processes(squared.detach().mean())
        if not self._observed:
            self._likelihood.observe(error)
            self._observed = True
        variance = error.clamp_min(self._likelihood.options.floor**2)
        return -0.5 * (squared / variance + variance.log() + math.log(2 * math.pi)).sum((-3, -2, -1))


def over_processes(value: Tensor) -> Tensor:
    """The mean over all processes of a run; the value itself in a run of one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
        return value / torch.distributed.get_world_size()
    return value
