"""What a run says of its latent units when it ends."""

from __future__ import annotations

from typing import Any

import torch

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.randomness import seeded
from genzoo.runs.closing import units_in_use
from genzoo.types import Batch, Encoding, Latent, LatentSpec


class Copying:
    """A unit that says what the image is and one of noise, and a lower level that copies a sample of both."""

    levels = (LatentSpec((2,)), LatentSpec((2,)))

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        mean = torch.stack([batch.image.flatten(1).mean(1), torch.zeros(len(batch))], 1)
        top = DiagonalNormal(mean, torch.zeros_like(mean))
        sample = top.rsample((samples,))
        below = DiagonalNormal(sample, torch.zeros_like(sample))
        prior = StandardNormal((2,))
        return Encoding((Latent(top, prior, sample), Latent(below, prior, below.rsample())))


def test_noise_from_another_level_is_no_unit_in_use() -> None:
    with seeded(0):
        model: Any = Copying()
        assert units_in_use(model, Batch(torch.randn(1000, 1, 1, 1))) == (2, 4)
