"""The metric `codebook-perplexity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch

from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.types import Capability
from genzoo_vq_vae.batches import batches
from genzoo_vq_vae.codebook import perplexity
from genzoo_vq_vae.options import BatchOptions


class CodebookPerplexity(Metric):
    r"""How many codes the test images use, and what one of them costs.

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big)

    with p_k the frequency of code k over all positions of all test images. Beside it ``usage``, the fraction of codes that
    occur; ``unigram``, the entropy :math:`-\sum_k p_k \log p_k` in nats a code; and ``prior``, the mean of −log p(z) in
    nats a code, which for a fitted prior should be well below it.

    Args:
        options: Images encoded at a time.

    References:
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 4.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.CATEGORICAL_LATENT})
    reads = frozenset({"test"})
    bounds: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    unit: ClassVar[str] = "codes"

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("all test images")

    def _protocol(self, images: str) -> str:
        return f"all positions of {images}, one posterior sample each"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        options = cast(BatchOptions, self.options)
        level = run.model.levels[0]
        counts = torch.zeros(level.categories or 1, dtype=torch.float64)
        spent, images = 0.0, 0
        for batch in batches(run, options.batch_size):
            latent = run.model.encode(batch).latents[0]
            counts += torch.bincount(latent.sample.flatten().cpu(), minlength=len(counts))
            spent -= latent.prior.log_prob(latent.sample[0]).double().sum().item()
            images += len(batch)
        value = perplexity(counts)
        numbers = {
            "": value.item(),
            "usage": (counts > 0).double().mean().item(),
            "unigram": value.log().item(),
            "prior": spent / (images * level.size),
        }
        return Measurement(
            numbers,
            units={"usage": "", "unigram": "nats per code", "prior": "nats per code"},
            protocol=self._protocol(f"{run.split().count} test images"),
        )
