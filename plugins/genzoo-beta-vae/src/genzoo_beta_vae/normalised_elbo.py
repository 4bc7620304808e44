"""The `normalised-elbo` loss: β comparable between images and latents of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Context, ModelOutput
from genzoo_beta_vae.options import NormalisedElboOptions


class NormalisedElbo(Loss):
    r"""Distortion plus β times rate, with β given by its normalised value.

    .. math:: D + \beta R, \qquad \beta = \beta_\mathrm{norm} \frac{N}{M}

    N is the number of pixels and channels of an image, M of latent dimensions, all levels together. β = 4 with 2
    latent dimensions on 28×28 is 0.0102; an ordinary VAE there is 0.0026.

    Args:
        options: The normalised β; schedulers drive it as ``beta``.

    References:
        Higgins et al. 2017, *β-VAE*, section 4.2: β_norm = β M / N.
    """

    surrogates = {"rate": "weighted by β N / M"}  # noqa: RUF012
    options: NormalisedElboOptions

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Loss.quantities`."""
        return {"beta": self.options.beta}

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`, with the weight that the normalised β stands for."""
        size = sum(level.size for level in evidence.levels)
        if not evidence.starved or not size:
            return super().diagnose(evidence)
        weight = evidence.quantities.get("beta", self.options.beta) * evidence.pixels / size
        return [
            Finding("note", f"The normalised β stands for a weight of {weight:.3g}.", "a lower --loss.beta"),
            *super().diagnose(evidence)[1:],
        ]

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        latent_size = sum(latent.posterior.event_shape.numel() for latent in output.latents)
        beta = self.quantity(context, "beta") * (batch.image[0].numel() / latent_size)
        rate = torch.stack([level.mean() for level in rates]).sum()
        return {"distortion": distortion.mean(), "rate": beta * rate}
