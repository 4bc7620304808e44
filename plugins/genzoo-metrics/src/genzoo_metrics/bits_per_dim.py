"""How many bits a model needs for each pixel and channel of 8-bit images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.distributions import log_mass
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Measurement, Metric, Model, PerImage, RunView
from genzoo.interfaces.measurement import fingerprints
from genzoo.randomness import derive, seeded
from genzoo.types import Batch, Capability, ImageSpec
from genzoo_metrics.options import BitsPerDimOptions

LEVELS = 256
IMAGES = 200
"""Images encoded at once."""

_WORDS = {
    "exact": "exact: the chain rule over the grey levels",
    "dequantized": "a bound, from above on average: uniform dequantization",
    "bound": "a bound, from above on average: the density of the latents is one",
    "elbo": "a bound, from above on average: the elbo, its likelihood integrated over each grey level's interval",
    "estimate": "an estimate, which may err to either side: so is the density of the latents",
}


class BitsPerDim(Metric):
    r"""Bits per dimension, :math:`-\log_2 P(x) / (C H W)`, of 8-bit images, with what it is in the protocol.

    P is a probability of grey levels, never a density at a point: a density of any number of bits can be had by putting it
    all on the grey levels. The protocol says which of these the number is:

    - *exact*: a model of integer grey levels, such as `pixelcnn`.
    - *a bound*: a model of dequantized pixels, such as `realnvp`, by :math:`E_u \log p(x + u) \le \log P(x)`; one whose
      latents have a bound only, such as `ddpm`; or a VAE, by its elbo with p(x|z) integrated over the interval of each
      level, :math:`[(k - \tfrac12)/255, (k + \tfrac12)/255]`, without ends at 0 and 255.
    - *an estimate*: where the prior's density is one.

    Refused by name are data that are not of 256 grey levels, a prior without a density, a point as posterior of real
    latents, and likelihoods that give grey levels no probability, such as a Bernoulli.

    Args:
        options: How many images, and samples per image.

    References:
        Theis et al. 2016, *A note on the evaluation of generative models*, section 3.1; Salimans et al. 2017, *PixelCNN++*,
        equation 2, for the intervals and their ends.
    """

    reads = frozenset({"test"})
    direction = "lower"
    bounds = (0, None)
    unit = "bits/dim"

    @property
    def _own(self) -> BitsPerDimOptions:
        return cast(BitsPerDimOptions, self.options)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol(f"at most {self._own.images} test images", "exact, a bound or an estimate by the model")

    def _protocol(self, images: str, kind: str) -> str:
        return f"{kind}; {images}, {self._own.samples} seeded sample(s) per image, 8-bit grey levels"

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Metric.check`.

        Raises:
            IncompatibleError: If there are no 8-bit grey levels, or no probability of them.
        """
        if image.levels != LEVELS:
            raise IncompatibleError(
                f"bits-per-dim: images must have {LEVELS} grey levels, got {image.levels or 'continuous pixels'}.",
                "Choose 8-bit data, without --data.binarize; elbo and nll measure others in nats.",
            )
        kind_of(model)

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        self.check(run.model, run.image)
        own = self._own
        parts: list[Tensor] = []
        seen: list[Tensor] = []
        for number, batch in enumerate(run.batches(IMAGES, own.images)):
            total = torch.zeros(len(batch), dtype=torch.float64)
            for sample in range(own.samples):
                with seeded(derive(run.seed, "bits-per-dim", number, sample)):
                    total += nats(run.model, batch).cpu()
            parts.append(total / own.samples)
            seen.append(fingerprints(batch.image))
        bits = torch.cat(parts) / (run.image.pixels * math.log(2))
        split = run.split()
        numbers = {"": bits.mean().item(), "nats": torch.cat(parts).mean().item()}
        if len(bits) > 1:
            numbers["standard-error"] = bits.std().item() / math.sqrt(len(bits))
        return Measurement(
            numbers,
            units={"nats": "nats"},
            protocol=self._protocol(f"{split.subset(own.images).count} test images", _WORDS[kind_of(run.model)]),
            per_image=PerImage(bits, split.rows(own.images), torch.cat(seen)),
        )


def kind_of(model: Model) -> str:
    """What the bits of a model are: ``exact``, ``dequantized``, ``bound``, ``elbo`` or ``estimate``.

    Raises:
        IncompatibleError: If they are not defined.
    """
    name, found = type(model).__name__, model.capabilities
    exact, point = Capability.EXACT_POSTERIOR in found, Capability.DETERMINISTIC_POSTERIOR in found
    density = model.prior.density
    if density == "none":
        raise IncompatibleError(
            f"bits-per-dim: the prior must have a density or a bound on it, got {type(model.prior).__name__}.",
            "Measure its samples, by judge-frechet or precision-recall.",
        )
    if point and not exact and Capability.CATEGORICAL_LATENT not in found:
        raise IncompatibleError(
            f"bits-per-dim: the posterior must have spread, got {name}, whose posterior is a point."
        )
    if not exact and _levels_mass(model, torch.zeros(1, *model.image.shape)) is None:
        raise IncompatibleError(
            f"bits-per-dim: the likelihood must give each grey level a probability, got {type(model.likelihood).__name__}.",
            "Choose --likelihood gaussian or continuous-bernoulli, or a model of pixels (realnvp, pixelcnn).",
        )
    if density == "estimate":
        return "estimate"
    if not exact:
        return "elbo"
    if density == "bound":
        return "bound"
    return "exact" if point else "dequantized"


def nats(model: Model, batch: Batch) -> Tensor:
    """−log P(x) or a bound on it, float64 ``[B]``, by one sample of the posterior."""
    output = model(batch)
    rate = torch.stack([level.value.double().sum(0) for level in estimators.rates(output.latents)]).sum(0)
    if Capability.EXACT_POSTERIOR in model.capabilities:
        return rate + estimators.distortion(output, batch.image)[0].double()
    mass = log_mass(output.likelihood, *intervals(batch.image))
    assert mass is not None
    return rate - mass[0].double()


def intervals(image: Tensor) -> tuple[Tensor, Tensor]:
    """Where the grey level of each pixel begins and ends, with images in [0, 1]; the least and greatest have no end."""
    level = (image * (LEVELS - 1)).round()
    lower = ((level - 0.5) / (LEVELS - 1)).masked_fill(level <= 0, -torch.inf)
    upper = ((level + 0.5) / (LEVELS - 1)).masked_fill(level >= LEVELS - 1, torch.inf)
    return lower, upper


def _levels_mass(model: Model, image: Tensor) -> Tensor | None:
    """What `log_mass` says of a likelihood, tried on zeros."""
    raw = torch.zeros(1, model.likelihood.channels(model.image), *model.image.shape[1:])
    device = next((tensor.device for tensor in model.likelihood.parameters()), torch.device("cpu"))
    return log_mass(model.likelihood(raw.to(device)), *(edge.to(device) for edge in intervals(image)))
