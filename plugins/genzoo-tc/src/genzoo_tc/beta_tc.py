"""The objective that weights the three parts of the rate apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from genzoo import estimators
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Capability, Context, ModelOutput
from genzoo_tc.options import BetaTCOptions


class BetaTC(Loss):
    r"""Distortion and the rate split into three parts, each with its weight, in nats per image.

    .. math::
        D + \alpha\, I_q(x; z) + \beta\, \mathrm{KL}\Big(q(z) \Big\| \prod_j q(z_j)\Big)
          + \gamma \sum_j \mathrm{KL}(q(z_j) \| p(z_j))

    At α = β = γ = 1 the parts sum to the Monte Carlo rate whatever the sampling. Each part is estimated from a minibatch and
    its term carries the estimator's name: ``total_correlation_weighted`` is no total correlation (at a collapsed posterior
    it reads (d − 1)·log N where the truth is 0) but has a gradient that serves; ``total_correlation_stratified`` estimates
    it, low or high by the spread of the estimate of q(z).

    Args:
        options: The three weights and the sampling.

    Example:
        >>> BetaTC(BetaTCOptions(beta=4)).quantities
        {'beta': 4.0}

    References:
        Chen et al. 2018, *Isolating Sources of Disentanglement in Variational Autoencoders*, equations 2, 4 and 5 and
        appendix C.

    Differs from the paper:
        With a prior that does not factorise, the third part is the KL of the product of marginals from that prior. The
        set is taken to be at least as large as the batch.
    """

    requires = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})
    forbids = frozenset({Capability.DETERMINISTIC_POSTERIOR})
    batch_coupled = True
    options: BetaTCOptions

    @property
    def quantities(self) -> Mapping[str, float]:
        """See `Loss.quantities`."""
        return {"beta": self.options.beta}

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`; β weights the total correlation, α the information that the latents carry."""
        if not evidence.starved:
            return ()
        beta = evidence.quantities.get("beta", self.options.beta)
        text = (
            f"The latents' information is weighted by α = {self.options.alpha:g}, their total correlation by {beta:g}."
        )
        return [Finding("note", text, "a lower --loss.alpha, --loss.beta or --loss.gamma")]

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        (latent,) = output.latents
        sampling = self.options.sampling
        aggregate = estimators.aggregate_posterior(latent, max(context.dataset_size, len(batch)), sampling)
        information = latent.posterior.log_prob(latent.sample) - aggregate.joint
        correlation = aggregate.joint - aggregate.product
        divergence = aggregate.product - latent.prior.log_prob(latent.sample)
        return {
            "distortion": distortion.mean(),
            f"mutual_information_{sampling}": self.options.alpha * information.mean(),
            f"total_correlation_{sampling}": self.quantity(context, "beta") * correlation.mean(),
            f"dimension_wise_kl_{sampling}": self.options.gamma * divergence.mean(),
        }
