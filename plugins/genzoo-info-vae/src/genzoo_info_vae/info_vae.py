"""The InfoVAE objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.distributions import DiagonalNormal
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Capability, Context, Latent, ModelOutput
from genzoo_info_vae.discrepancy import SCALES, kernel_matrix, squared_mmd
from genzoo_info_vae.options import InfoVAEOptions


class InfoVAE(Loss):
    r"""Distortion, a share of the rate, and the discrepancy of the aggregate posterior from the prior.

    .. math:: D + (1 - \alpha)\, R + (\alpha + \lambda - 1)\, \mathrm{MMD}^2(q(z), p(z))

    The samples of a batch, one an image, stand for q(z); as many draws of the prior for p(z). α = 1 is the MMD-VAE, which
    weighs no rate at all; the rate is reported all the same. ``beta``, the weight of the rate, is 1 − α; ``mmd`` is the
    weight of the discrepancy.

    Args:
        options: Weights and kernel.

    Example:
        >>> InfoVAE(InfoVAEOptions(alpha=0.25, mmd=10)).quantities
        {'beta': 0.75, 'mmd': 10.0}

    References:
        Zhao et al. 2017, *InfoVAE: Balancing Learning and Inference in Variational Autoencoders*, equation 6.
        Tolstikhin et al. 2018, *Wasserstein Auto-Encoders*, for the inverse multiquadratic kernel and its scales.

    Differs from the paper:
        The weight α + λ − 1 is one option, ``mmd``. The discrepancy is the unbiased estimate unless told otherwise.
    """

    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    batch_coupled = True
    options: InfoVAEOptions

    def __init__(self, options: InfoVAEOptions) -> None:
        super().__init__(options)
        self.discrepancies = frozenset({"mmd"} if options.unbiased else set())

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Loss.quantities`."""
        return {"beta": 1 - self.options.alpha, "mmd": self.options.mmd}

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`; the discrepancy holds q(z) near the prior where the rate has no weight."""
        if not evidence.starved:
            return ()
        beta = evidence.quantities.get("beta", 1 - self.options.alpha)
        text = f"The rate is weighted by 1 − α = {beta:g} and the discrepancy by {self.options.mmd:g}."
        return [Finding("note", text, "a higher --loss.alpha"), Finding("note", "", "a lower --loss.mmd")]

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        return {
            "distortion": distortion.mean(),
            "rate": self.quantity(context, "beta") * rates[0].mean(),
            "mmd": self.quantity(context, "mmd") * self.discrepancy(output.latents[0]),
        }

    def discrepancy(self, latent: Latent) -> Tensor:
        """The squared discrepancy of a level's samples from as many draws of its prior, ``[]``."""
        options = self.options
        events = len(latent.posterior.event_shape)
        count = latent.sample.shape[: latent.sample.dim() - events]
        prior = _precise_normal(latent.prior)
        shape = torch.Size(count[: len(count) - len(prior.batch_shape)])
        draws = prior.rsample(shape) if prior.has_rsample else prior.sample(shape)
        x, y = (_precise(z.reshape(count.numel(), -1)) for z in (latent.sample, draws))

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return kernel_matrix(a, b, options.kernel, options.bandwidth, SCALES if options.multi_scale else (1.0,))

        return squared_mmd(kernel(x, x), kernel(y, y), kernel(x, y), unbiased=options.unbiased)


def _precise(z: Tensor) -> Tensor:
    """At least float32: a discrepancy is a small difference of means of kernels."""
    return z.float() if z.dtype.itemsize < 4 else z


def _precise_normal(prior: Distribution) -> Distribution:
    """A normal prior in at least float32, so that its draws are those of any precision."""
    if isinstance(prior, DiagonalNormal) and prior.mean.dtype.itemsize < 4:
        return DiagonalNormal(prior.mean.float(), prior.log_variance.float(), len(prior.event_shape))
    return prior
