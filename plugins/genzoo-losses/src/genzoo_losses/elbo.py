"""The `elbo` loss: distortion plus a weighted rate."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Capability, Context, ModelOutput
from genzoo_losses.options import ElboOptions


class Elbo(Loss):
    r"""The negative ELBO with a weight on the rate, and two ways to keep the rate from collapsing.

    .. math::
        D + \beta \sum_l R_l
        \qquad\text{free bits: } D + \beta \sum_l \max(\lambda, \bar R_l)
        \qquad\text{capacity: } D + \gamma \, \bigl|\textstyle\sum_l \bar R_l - C\bigr|

    D and R are means over batch and samples, in nats per image; :math:`\bar R` is such a mean, taken before the
    maximum or the distance, so free bits and capacity couple the images of a batch. With ``free_bits_per="dimension"``
    the sum is over latent dimensions in place of levels.

    Args:
        options: β, free bits, capacity and γ, and whether the distortion is averaged over pixels.

    References:
        Kingma and Welling 2014, equation 3; equations 29 and 30 of the report. Free bits: Kingma et al. 2016,
        *Improved Variational Inference with Inverse Autoregressive Flow*, equation 15. Capacity: Burgess et al. 2018,
        *Understanding disentangling in β-VAE*, equation 8.

    Differs from the paper: Kingma et al. share λ among groups of latents; a group here is a level or a dimension.
    """

    options: ElboOptions

    def __init__(self, options: ElboOptions) -> None:
        super().__init__(options)
        self.batch_coupled = options.free_bits > 0 or options.capacity is not None
        surrogates: dict[str, str] = {}
        if options.distortion_per == "pixel":
            surrogates["distortion"] = "averaged over pixels"
        if self.batch_coupled:
            surrogates["rate"] = "the distance to a capacity" if options.capacity is not None else "free bits"
        self.surrogates = surrogates
        self.bound = not surrogates
        if options.free_bits_per == "dimension":
            self.requires = frozenset({Capability.FACTORISED_POSTERIOR})

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Loss.quantities`: ``beta``, or ``capacity`` and ``gamma`` where a capacity is set."""
        if self.options.capacity is None:
            return {"beta": self.options.beta}
        return {"capacity": self.options.capacity, "gamma": self.options.gamma}

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`: what β, free bits, the capacity and the mean over pixels do to the latents."""
        options = self.options
        found: list[Finding] = []
        if options.distortion_per == "pixel" and (evidence.starved or not evidence.used):
            text = (
                f"The distortion is averaged over {evidence.pixels} pixels, which weights the rate as many times more."
            )
            found.append(Finding("fault", text, "the distortion summed over the image (--loss.distortion-per image)"))
        found += super().diagnose(evidence)
        capacity = evidence.quantities.get("capacity", options.capacity)
        if options.capacity is not None and capacity is not None:
            forced = "" if evidence.used else ", whether the decoder reads them or not"
            off = abs(evidence.rate - capacity)
            if evidence.starved or off > max(1.0, 0.1 * capacity):
                text = f"The rate is drawn to a capacity of {capacity:g} nats{forced}."
                more = "a higher --loss.capacity" if evidence.rate < 1 else "a lower --loss.gamma"
                remedy = more if evidence.starved else ""
                found.append(Finding("note", text, remedy))
        elif evidence.wasteful and evidence.rate <= self._free(evidence):
            text = f"{self._free(evidence):g} nats of rate cost nothing, which is more than the latents save."
            found.append(Finding("note", text, f"fewer free bits (--loss.free-bits {options.free_bits / 10:.2g})"))
        elif evidence.starved and not evidence.flat:
            free = options.free_bits
            remedy = f"more free bits (--loss.free-bits {2 * free:g})" if free else "free bits (--loss.free-bits 0.5)"
            text = f"{free:g} nats of rate cost nothing, whether the decoder reads them or not." if free else ""
            found.append(Finding("note", text, remedy))
        return found

    def _free(self, evidence: Evidence) -> float:
        """Nats of rate per image that cost a constant."""
        of_dimensions = self.options.free_bits_per == "dimension"
        return self.options.free_bits * sum(level.size if of_dimensions else 1 for level in evidence.levels)

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        scale = 1 / batch.image[0].numel() if self.options.distortion_per == "pixel" else 1
        return {"distortion": distortion.mean() * scale, "rate": self._weighted_rate(output, context, rates)}

    def _weighted_rate(self, output: ModelOutput, context: Context, rates: tuple[Tensor, ...]) -> Tensor:
        if self.options.capacity is not None:
            excess = _total([rate.mean() for rate in rates]) - self.quantity(context, "capacity")
            return self.quantity(context, "gamma") * excess.abs()
        means = _per_dimension(output) if self.options.free_bits_per == "dimension" else [rate.mean() for rate in rates]
        if self.options.free_bits > 0:
            means = [mean.clamp(min=self.options.free_bits).sum() for mean in means]
        return self.quantity(context, "beta") * _total(means)


def _total(values: Sequence[Tensor]) -> Tensor:
    """Σ values; of one value the value itself, for the sake of small models' steps."""
    return functools.reduce(torch.add, values)


def _per_dimension(output: ModelOutput) -> list[Tensor]:
    """The mean rate of each latent dimension, a vector a level."""
    means: list[Tensor] = []
    for latent in output.latents:
        rate = estimators.rate_per_dimension(latent)
        if rate is None:
            raise IncompatibleError(
                "elbo: free_bits_per=dimension needs a posterior and a prior that factorise over dimensions, "
                f"got {type(latent.posterior).__name__} and {type(latent.prior).__name__}.",
                "Set --loss.free-bits-per level.",
            )
        means.append(rate.reshape(-1, latent.sample[0, 0].numel()).mean(0))
    return means
