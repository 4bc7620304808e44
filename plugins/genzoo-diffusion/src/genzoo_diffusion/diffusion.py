"""The `diffusion` prior."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genzoo.parts.field_prior import FieldPrior
from genzoo.types import Report
from genzoo_diffusion.options import DiffusionOptions


class Diffusion(FieldPrior):
    r"""Latents drawn by taking away, step by step, the noise that a diffusion in continuous time adds.

    .. math::
        z_t = \alpha_t z + \sigma_t \epsilon, \qquad \alpha_t^2 + \sigma_t^2 = 1, \qquad
        \lambda_t = \log \frac{\alpha_t^2}{\sigma_t^2} = -2 \log \tan(a\,t + b)

    where a and b let λ fall from ``most_snr`` at t = 0 to ``least_snr`` at t = 1: the cosine schedule, shortened at both
    ends. The field predicts :math:`v = \alpha_t \epsilon - \sigma_t z`, or ε. Before it is fitted the prior is N(0, I). Its
    density has a bound, which ``log_prob`` estimates with one λ and one noise an image:

    .. math::
        -\log p(z) \le \mathrm{KL}(q(z_1|z)\,\|\,\mathcal N(0, I))
            + \tfrac12 (\lambda_0 - \lambda_1)\,
              \mathbb E_{\lambda, \epsilon} \| \epsilon - \hat\epsilon(z_\lambda, \lambda) \|^2
            + \tfrac D2 (1 + \log 2\pi - \lambda_0)

    with λ uniform between its ends, which errs less than a uniform t and has the same mean. The last term is
    :math:`-\mathbb E \log p(z|z_0)` of :math:`p(z|z_0) = \mathcal N(z_0/\alpha_0, e^{-\lambda_0} I)`.

    Args:
        options: What is predicted and minimised, the range of λ, and how draws are made.
        latent: Real-valued latents; their shape is the field's image.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not.

    References:
        Kingma et al. 2021, *Variational Diffusion Models*, equations 11, 13 and 33 and appendix A (the bound in continuous
        time, ancestral draws); Nichol and Dhariwal 2021, *Improved DDPM*, equation 17 (cosine schedule); Salimans and Ho
        2022, *Progressive Distillation*, section 4 (v); Song et al. 2021, *DDIM*, equation 12.

    Differs from the papers: p(z|z_0) is normal, since latents are real numbers, where Kingma et al. have integer pixels;
    the schedule is fixed.
    """

    density: ClassVar[Literal["exact", "bound", "estimate", "none"]] = "bound"
    fit_report: ClassVar[Report] = Report("denoising_error", "Weighted squared error of the denoiser", "", "lower")
    name: ClassVar[str] = "diffusion"
    options: DiffusionOptions

    # The schedule.

    def log_snr(self, time: Tensor) -> Tensor:
        """λ at times ``[*]`` in [0, 1], in float64."""
        start, rate = self._angles
        return -2 * torch.log(torch.tan(start + rate * time.double()))

    def time_of(self, snr: Tensor) -> Tensor:
        """The times ``[*]`` at which λ has the values ``[*]``, in float64."""
        start, rate = self._angles
        return (torch.atan(torch.exp(-snr.double() / 2)) - start) / rate

    @property
    def _angles(self) -> tuple[float, float]:
        start, end = (math.atan(math.exp(-snr / 2)) for snr in (self.options.most_snr, self.options.least_snr))
        return start, end - start

    def _scales(self, time: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ at times ``[B]``, each ``[B, 1, …]`` and as precise as ``like``."""
        snr = self.log_snr(time).reshape(len(time), *([1] * len(self.latent.shape)))
        return torch.sigmoid(snr).sqrt().to(like.dtype), torch.sigmoid(-snr).sqrt().to(like.dtype)

    def denoised(self, noisy: Tensor, predicted: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latents and the noise that a prediction of the field stands for, each ``[B, *event]``."""
        alpha, sigma = self._scales(time, noisy)
        if self.options.predicts == "v":
            return alpha * noisy - sigma * predicted, alpha * predicted + sigma * noisy
        return (noisy - sigma * predicted) / alpha, predicted

    # The bound.

    def fit_loss(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.fit_loss`; the squared error of what is predicted, mean over dimensions, or the bound per dimension."""
        self.begin()
        if self.options.weighting == "bound":
            return self.nll(latents, label) / latents[0].numel()
        time, noise = self.times(len(latents)), torch.randn_like(latents)
        alpha, sigma = self._scales(time, latents)
        predicted = self.at(alpha * latents + sigma * noise, time, label, drop=self.dropped)
        target = alpha * noise - sigma * latents if self.options.predicts == "v" else noise
        return (predicted - target).float().square().flatten(1).mean(1)

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.nll`: the bound, in float32 or better."""
        options, noise = self.options, torch.randn_like(latents)
        span = options.most_snr - options.least_snr
        time = self.time_of(options.most_snr - span * self.times(len(latents)).double())
        alpha, sigma = self._scales(time, latents)
        noisy = alpha * latents + sigma * noise
        drop = self.dropped if torch.is_grad_enabled() else 0.0
        _, found = self.denoised(noisy, self.at(noisy, time, label, drop=drop), time)
        wide = torch.promote_types(latents.dtype, torch.float32)
        error = (noise - found).to(wide).square().flatten(1).sum(1)
        return self._ends(latents.to(wide)) + 0.5 * span * error

    def _ends(self, latents: Tensor) -> Tensor:
        """The bound's first and last term, ``[B]``."""
        options, flat = self.options, latents.flatten(1)
        dimensions = flat.shape[1]
        left = 1 / (1 + math.exp(-options.least_snr))  # α² at time 1
        last = 0.5 * (left * flat.square().sum(1) - dimensions * (left + math.log1p(-left)))
        return last + 0.5 * dimensions * (1 + math.log(2 * math.pi) - options.most_snr)

    def log_prob(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `FieldPrior.log_prob`; a lower bound in the mean. Each call draws other times and noise."""
        if self.classes and label is None:
            label = self.labels(len(latents), None)
        return -self.nll(latents, label)

    # Draws.

    @torch.no_grad()
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """See `FieldPrior.draw`."""
        z, label = self.noise(n), self.labels(n, label)
        count = self.options.steps
        for step in range(count, 0, -1):
            now, then = (torch.full((n,), at / count, dtype=z.dtype, device=z.device) for at in (step, step - 1))
            clean, noise = self.denoised(z, self.guided(z, now, label), now)
            if step == 1:
                return clean
            alpha, sigma = self._scales(then, z)
            if self.options.sampler == "ancestral":
                z = self._ancestral(z, clean, now, then)
            else:
                z = alpha * clean + sigma * noise
        return z

    def _ancestral(self, z: Tensor, clean: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """A draw of q(z_s|z_t, z), with the clean latents as they were found."""
        alpha, sigma = self._scales(then, z)
        alpha_now, _ = self._scales(now, z)
        kept = -torch.expm1(self.log_snr(now) - self.log_snr(then)).to(z.dtype).reshape_as(alpha)
        mean = alpha * (z * (1 - kept) / alpha_now + kept * clean)
        return mean + sigma * kept.sqrt() * torch.randn_like(z)
