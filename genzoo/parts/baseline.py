"""The best image that does not depend on the input: what a model that ignores its latents could decode at best."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.interfaces.likelihood import Likelihood
from genzoo.types import ImageSpec

ITERATIONS = 60
"""Steps of L-BFGS at most; where the mean image is the optimum, none is taken."""


def constant_output(likelihood: Likelihood, images: Tensor, image: ImageSpec) -> Tensor:
    """The raw decoder output ``[channels, H, W]`` that explains images best if it must be the same for all of them.

    It minimises −Σ log p(x) over the images and one grey image of the mean brightness of each channel. The grey image
    keeps pixels that never change from being predicted with certainty. A Bernoulli's optimum is the smoothed mean image;
    for any other likelihood the optimum is found by L-BFGS from there, so that a plugin's likelihood needs no code for it.

    Args:
        likelihood: In eval mode; its own parameters are held fixed.
        images: ``[N, C, H, W]``.
        image: What one image is.

    Example:
        >>> from genzoo.testing.reference import BernoulliPixels
        >>> from genzoo.options import NoOptions
        >>> pixels = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
        >>> constant_output(BernoulliPixels(NoOptions()), pixels, ImageSpec((1, 1, 1))).abs().item() < 1e-6
        True
    """
    grey = images.mean((0, 2, 3), keepdim=True).expand(1, *images.shape[1:])
    seen = torch.cat([images, grey])
    mean = seen.mean(0)
    spare = mean.new_zeros(likelihood.channels(image) - image.channels, *image.shape[1:])
    starts = [torch.cat([start, spare]) for start in (mean.clamp(1e-6, 1 - 1e-6).logit(), mean, torch.zeros_like(mean))]

    def cost(raw: Tensor) -> Tensor:
        return -likelihood(raw.unsqueeze(0)).log_prob(seen).mean() / image.pixels

    with torch.enable_grad():
        best = min(starts, key=lambda start: _number(cost(start)))
        raw = best.clone().requires_grad_(True)
        optimizer = torch.optim.LBFGS([raw], max_iter=ITERATIONS, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

        def closure() -> Tensor:
            value = cost(raw)
            (raw.grad,) = torch.autograd.grad(value, raw)
            return value.detach()

        optimizer.step(closure)
        improved = _number(cost(raw)) <= _number(cost(best))
    return raw.detach() if improved else best


def _number(value: Tensor) -> float:
    found = float(value.detach())
    return found if found == found else float("inf")
