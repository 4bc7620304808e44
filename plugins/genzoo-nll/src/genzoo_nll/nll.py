"""The negative log-likelihood by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Measurement, Metric, Model, PerImage, RunView
from genzoo.interfaces.measurement import fingerprints
from genzoo.types import Batch, Capability, ImageSpec, ModelOutput, Split
from genzoo_nll.options import NegativeLogLikelihoodOptions
from genzoo_nll.quadrature import Quadrature, offers_quadrature, quadrature_nll

_COPIES = 6
"""How many float32 copies of a decoded image a decoder and its likelihood hold at once, about."""

_NOTICEABLE = 0.1
"""Nats by which a bound may still fall, or miss the truth, before a warning says so."""

_UNITS = {
    "half": "nats",
    "monte_carlo_error": "nats",
    "standard_error": "nats",
    "samples": "samples",
    "images": "images",
    "ess_median": "samples",
    "ess_p5": "samples",
    "quadrature": "nats",
    "quadrature_error": "nats",
    "quadrature_images": "images",
    "importance_there": "nats",
}


class NegativeLogLikelihood(Metric):
    r"""−log p(x) by importance sampling from the posterior, in nats per image, mean over images.

    .. math:: -\log p(x) \approx -\log \frac1K \sum_{k=1}^K \frac{p(x|z_k)\,p(z_k)}{q(z_k|x)}, \qquad z_k \sim q(z|x)

    An upper bound on average, tighter as K grows; values of different K are not comparable. For a conditional model it is
    −log p(x|c). At K = 1 it is the negative elbo with a Monte Carlo rate. Beside it:

    - ``half``: the bound at K/2. By as much as it is higher, at least, the bound would still fall.
    - ``ess_median``, ``ess_p5``: effective sample size :math:`(\sum w)^2 / \sum w^2` of the median image and of the 5th
      percentile, between 1 (one sample decides) and K.
    - ``monte_carlo_error``: standard error of the mean that comes from the K samples alone, by the delta method; it says
      nothing of mass that the posterior misses.
    - ``standard_error``: of the mean over images, samples included.
    - With one or two latent dimensions ``quadrature``: the likelihood itself over the first ``quadrature_images``, with
      ``importance_there``, the bound over the same images. See `genzoo_nll.quadrature.quadrature_nll`.

    A model with a deterministic posterior is refused: all K samples are one and the value says nothing of p(x).

    Args:
        options: K, images, quadrature, precision and memory.

    References:
        Rezende et al. 2014, appendix E; Burda et al. 2016, equation 8.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset()
    forbids: ClassVar[frozenset[Capability]] = frozenset({Capability.DETERMINISTIC_POSTERIOR})
    exact_density: ClassVar[bool] = True
    direction: ClassVar[Literal["higher", "lower"] | None] = "lower"
    unit = "nats"
    estimates: ClassVar[Mapping[str, str]] = MappingProxyType({"": "nll", "half": "nll", "quadrature": "nll"})
    options: NegativeLogLikelihoodOptions

    def __init__(self, options: NegativeLogLikelihoodOptions) -> None:
        super().__init__(options)
        self.reads = frozenset({options.split})

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol(f"at most {self.options.images} {self.options.split} images, drawn in every class", "")

    def _protocol(self, images: str, beside: str) -> str:
        options = self.options
        decoder = "" if options.precision == "float32" else f", decoder in {options.precision}"
        return (
            f"importance sampling from q(z|x), K = {options.samples}, {images}, as the dataset gives them (grey levels "
            f"under a Bernoulli make no likelihood), float32{decoder}{beside}"
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
        whole = run.split(options.split)
        index = whole.rows(options.images)
        split = whole.at(index)
        rows = max(1, options.memory * 2**20 // (_COPIES * 4 * run.image.pixels))
        images = max(1, rows // options.samples)
        found: list[Estimate] = []
        seen: list[Tensor] = []
        for start in range(0, len(split), images):
            batch = _batch(run, split, start, images)
            weights = importance_weights(run.model, batch, options.samples, rows=rows, precision=options.precision)
            found.append(estimate(weights))
            seen.append(fingerprints(batch.image))
        result = _together(found)
        numbers = summary(result, options.samples)
        warnings = _warnings(numbers)
        beside = ""
        if options.quadrature and offers_quadrature(run.model):
            some = split.rows(options.quadrature)
            truth = self._quadrature(run, split.at(some), rows)
            more, alarms = _beside(truth, result.at(some))
            numbers |= more
            warnings += alarms
            beside = f"; quadrature over p(z) for {len(some)} of them"
        drawn = "" if len(split) == split.drawn_from else ", drawn in every class"
        done = f"{split.count} {options.split} images{drawn}"
        return Measurement(
            numbers,
            units={name: unit for name, unit in _UNITS.items() if name in numbers},
            protocol=self._protocol(done, beside),
            warnings=warnings,
            per_image=PerImage(result.nll, index, torch.cat(seen)),
        )

    def _quadrature(self, run: RunView, split: Split, rows: int) -> Quadrature:
        parts = [
            quadrature_nll(run.model, _batch(run, split, start, _TOGETHER), rows=rows)
            for start in range(0, len(split), _TOGETHER)
        ]
        return Quadrature(
            torch.cat([part.nll for part in parts]),
            torch.cat([part.change for part in parts]),
            torch.cat([part.converged for part in parts]),
        )


_TOGETHER = 50
"""Images that share the first grid of a quadrature."""


@dataclass(frozen=True)
class Estimate:
    """What K importance samples say of each image, float64 ``[B]`` on the CPU.

    Args:
        nll: −log of the mean weight, in nats.
        half: The mean of that over the two halves of the samples; ``nll`` itself at K = 1.
        effective: Effective sample size, between 1 and K.
        variance: Monte Carlo variance of ``nll``, by the delta method.
    """

    nll: Tensor
    half: Tensor
    effective: Tensor
    variance: Tensor

    def at(self, index: Tensor) -> Estimate:
        """Of some of the images."""
        return Estimate(self.nll[index], self.half[index], self.effective[index], self.variance[index])


def estimate(weights: Tensor) -> Estimate:
    """The bound of log-weights ``[K, B]``, with what tells how far it can be trusted."""
    count = len(weights)
    nll = -estimators.importance_weighted_bound(weights)
    halves = [weights[: count // 2], weights[count // 2 : 2 * (count // 2)]] if count > 1 else [weights]
    half = -torch.stack([estimators.importance_weighted_bound(part) for part in halves]).mean(0)
    effective = (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp()
    variance = (1 / effective - 1 / count).clamp(min=0) * count / max(count - 1, 1)
    return Estimate(nll, half, effective, variance)


def summary(found: Estimate, samples: int) -> dict[str, float]:
    """The metric's numbers over images. See `NegativeLogLikelihood`."""
    count = len(found.nll)
    numbers = {"": found.nll.mean().item(), "samples": float(samples), "images": float(count)}
    if count > 1:
        numbers["standard_error"] = found.nll.std().item() / math.sqrt(count)
    if samples > 1:
        numbers["half"] = found.half.mean().item()
        numbers["monte_carlo_error"] = found.variance.sum().sqrt().item() / count
        numbers["ess_median"] = found.effective.median().item()
        numbers["ess_p5"] = found.effective.quantile(0.05).item()
    return numbers


def _warnings(numbers: Mapping[str, float]) -> list[str]:
    told: list[str] = []
    if "half" not in numbers:
        return told
    if numbers["ess_p5"] < 2:
        told.append(
            f"the weights are degenerate: for one image in twenty the effective sample size is {numbers['ess_p5']:.1f} or "
            f"less of {numbers['samples']:.0f}, so that one sample decides and the Monte Carlo error is too small."
        )
    falls = numbers["half"] - numbers[""]
    if falls > max(_NOTICEABLE, 3 * numbers["monte_carlo_error"]):
        told.append(
            f"the bound still falls: by {falls:.2f} nats from K/2 to K. Raise `samples`, or report it with its K."
        )
    return told


def _beside(truth: Quadrature, found: Estimate) -> tuple[dict[str, float], list[str]]:
    """Quadrature's numbers beside the bound over the same images, and what they say of it."""
    count = len(truth.nll)
    exact, bound = truth.nll.mean().item(), found.nll.mean().item()
    numbers = {
        "quadrature": exact,
        "quadrature_error": truth.change.mean().item(),
        "quadrature_images": float(count),
        "importance_there": bound,
    }
    told: list[str] = []
    if missed := int((~truth.converged).sum()):
        told.append(f"quadrature did not settle for {missed} of {count} images; its value is not to be relied on.")
    error = found.variance.sum().sqrt().item() / count
    if bound - exact > max(_NOTICEABLE, 3 * error):
        told.append(
            f"the posterior misses mass: importance sampling gives {bound:.2f} nats where quadrature gives {exact:.2f} over "
            f"the same {count} images. Report the quadrature."
        )
    return numbers, told


def _batch(run: RunView, split: Split, start: int, count: int) -> Batch:
    batch = split.batch(slice(start, start + count)).to(run.device)
    return batch.with_image(run.dataset.transform(batch.image, training=False))


def _together(parts: list[Estimate]) -> Estimate:
    return Estimate(
        torch.cat([part.nll for part in parts]),
        torch.cat([part.half for part in parts]),
        torch.cat([part.effective for part in parts]),
        torch.cat([part.variance for part in parts]),
    )


@torch.no_grad()
def importance_weights(
    model: Model,
    batch: Batch,
    samples: int,
    *,
    rows: int = 4096,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Tensor:
    """Log-weights of exactly K samples an image, float64 ``[K, B]`` on the CPU.

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
    return torch.cat(weights)


def refuse_deterministic(model: Model) -> None:
    """Refuse a model whose posterior is a point, and not the exact one.

    Raises:
        IncompatibleError: If it is.
    """
    found = model.capabilities & {Capability.DETERMINISTIC_POSTERIOR, Capability.EXACT_POSTERIOR}
    if found == {Capability.DETERMINISTIC_POSTERIOR}:
        raise IncompatibleError(
            f"nll: the model must have a posterior with spread, got {type(model).__name__}, which is "
            f"{Capability.DETERMINISTIC_POSTERIOR}: all K samples are one.",
            "Compare its distortion and the code length of its prior instead.",
        )
