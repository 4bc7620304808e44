"""The negative log-likelihood by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Metric, Model, RunView
from genzoo.types import Batch, Capability, ImageSpec, ModelOutput
from genzoo_nll.options import NegativeLogLikelihoodOptions

_COPIES = 6
"""How many float32 copies of a decoded image a decoder and its likelihood hold at once, about."""


class NegativeLogLikelihood(Metric):
    r"""−log p(x) by importance sampling from the posterior, in nats per image, mean over images.

    .. math:: -\log p(x) \approx -\log \frac1K \sum_{k=1}^K \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)}, \qquad z_k \sim q(z|x)

    An upper bound on average, tighter as K grows; values of different K are not comparable. The standard error is that of
    the mean over images. For a conditional model it is −log p(x|c). At K = 1 it is the negative elbo with a Monte Carlo
    rate.

    A model with a deterministic posterior is refused: all K samples are one and the value says nothing of p(x).

    Args:
        options: K, images, precision and memory.

    References:
        Rezende et al. 2014, appendix E; Burda et al. 2016, equation 8.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset()
    forbids: ClassVar[frozenset[Capability]] = frozenset({Capability.DETERMINISTIC_POSTERIOR})
    direction: ClassVar[Literal["higher", "lower"] | None] = "lower"
    unit = "nats"
    options: NegativeLogLikelihoodOptions

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        options = self.options
        decoder = "" if options.precision == "float32" else f", decoder in {options.precision}"
        return (
            f"importance sampling from q(z|x), K = {options.samples}, at most {options.images} {options.split} images, "
            "drawn in every class, as the dataset gives them (grey levels under a Bernoulli make no likelihood), "
            f"float32{decoder}"
        )

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Metric.check`.

        Raises:
            IncompatibleError: If the model's posterior is deterministic.
        """
        refuse_deterministic(model)

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        refuse_deterministic(run.model)
        options = self.options
        split = run.split(options.split).subset(options.images)
        rows = max(1, options.memory * 2**20 // (_COPIES * 4 * run.image.pixels))
        images = max(1, rows // options.samples)
        found: list[Tensor] = []
        for start in range(0, len(split), images):
            batch = split.batch(slice(start, start + images)).to(run.device)
            batch = batch.with_image(run.dataset.transform(batch.image, training=False))
            found.append(importance_nll(run.model, batch, options.samples, rows=rows, precision=options.precision))
        values = torch.cat(found)
        numbers = {"": values.mean().item(), "samples": float(options.samples), "images": float(len(values))}
        if len(values) > 1:
            numbers["standard_error"] = values.std().item() / math.sqrt(len(values))
        return numbers


@torch.no_grad()
def importance_nll(
    model: Model,
    batch: Batch,
    samples: int,
    *,
    rows: int = 4096,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Tensor:
    """−log p(x) of each image by importance sampling with exactly K samples, float64 ``[B]`` on the CPU.

    Args:
        model: In eval mode.
        batch: Images on the model's device, with labels for a conditional model.
        samples: K.
        rows: How many images may be decoded at once; K is drawn in parts where B·K is more.
        precision: Of the decoder; densities are computed in float32.
    """
    at_once = max(1, min(samples, rows // len(batch)))
    weights: list[Tensor] = []
    for first in range(0, samples, at_once):
        encoding = model.encode(batch, samples=min(at_once, samples - first))
        with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            likelihood = model.decode([latent.to_decoder for latent in encoding.latents], batch.label)
        output = ModelOutput(encoding.latents, likelihood)
        weights.append(estimators.log_weights(output, batch.image).cpu().double())
    return -estimators.importance_weighted_bound(torch.cat(weights))


def refuse_deterministic(model: Model) -> None:
    """Refuse a model whose posterior is a point.

    Raises:
        IncompatibleError: If it is.
    """
    if Capability.DETERMINISTIC_POSTERIOR in model.capabilities:
        raise IncompatibleError(
            f"nll: the model must have a posterior with spread, got {type(model).__name__}, which is "
            f"{Capability.DETERMINISTIC_POSTERIOR}: all K samples are one.",
            "Compare its distortion and the code length of its prior instead.",
        )
