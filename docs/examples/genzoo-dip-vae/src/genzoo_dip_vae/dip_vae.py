"""The `dip-vae` loss: posterior means that are not correlated."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from genzoo.interfaces import Loss
from genzoo.types import Batch, Capability, Context, ModelOutput
from genzoo_dip_vae.options import DipVaeOptions


class DipVae(Loss):
    r"""The negative elbo, and a penalty that draws the covariance of the posterior means to the identity (DIP-VAE-I).

    .. math:: D + \beta R + \lambda_{od} \sum_{i \ne j} C_{ij}^2 + \lambda_d \sum_i (C_{ii} - 1)^2,
        \qquad C = \mathrm{Cov}_x[\mu(x)]

    Args:
        options: The weight of the rate, and those of the two parts of the penalty.

    References:
        Kumar et al. 2018, *Variational inference of disentangled latent concepts from unlabeled observations*, equation 6.
    """

    options: DipVaeOptions
    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    batch_coupled = True

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Loss`; all three weights may be scheduled."""
        return self.options.model_dump()

    def terms(
        self, output: ModelOutput, batch: Batch, context: Context, distortion: Tensor, rates: tuple[Tensor, ...]
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        posterior = output.latents[0].posterior
        # bfloat16 has too few digits for a covariance; distortion is in float32 or float64.
        mean = posterior.mean.to(distortion.dtype).reshape(-1, posterior.event_shape.numel())
        centred = mean - mean.mean(0)
        squares = (centred.T @ centred / len(mean)).square()
        variances = centred.square().mean(0)
        return {
            "distortion": distortion.mean(),
            "rate": self.quantity(context, "beta") * rates[0].mean(),
            "off_diagonal": self.quantity(context, "off_diagonal") * (squares.sum() - squares.diagonal().sum()),
            "diagonal": self.quantity(context, "diagonal") * (variances - 1).square().sum(),
        }
