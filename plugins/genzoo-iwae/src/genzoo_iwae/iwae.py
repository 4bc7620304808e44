"""The importance-weighted objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from torch.distributions import Distribution

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Loss
from genzoo.types import Batch, Capability, Context, ModelOutput
from genzoo_iwae.options import ImportanceWeightedOptions


class ImportanceWeighted(Loss):
    r"""The negative importance-weighted bound of K samples, in nats per image.

    .. math:: -\mathcal L_K = -\log \frac1K \sum_{k=1}^K \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \qquad z_k \sim q(z|x)

    The terms are ``distortion`` and ``rate``, whose sum is the negative elbo, and ``importance_gain``, which is what the
    bound gains over it (negative where it does). At K = 1 the gain is 0 on average: the rate may be a closed form and the
    log-weight is a sample. The value and the plain gradient are those of the bound; they reach the parameters through
    ``importance_gain`` alone, which spares a backward pass that would cancel.

    With ``gradient="dreg"`` the value is the same and the gradient is the doubly reparameterised one: with normalised
    weights :math:`\tilde w_k`, the encoder's is :math:`\sum_k \tilde w_k^2 \,\partial_z \log w_k \,\partial_\phi z_k`,
    with q's parameters held fixed in :math:`\log w_k`; the decoder's is the plain one. Its variance vanishes as q
    approaches the posterior. It takes one level, a diagonal normal q and a model that is not compiled.

    Args:
        options: Samples and gradient.

    Example:
        >>> ImportanceWeighted(ImportanceWeightedOptions(samples=50)).samples
        50

    References:
        Burda et al. 2016, *Importance Weighted Autoencoders*, equation 8 (the bound) and 13 (its gradient).
        Tucker et al. 2019, *Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*, equation 8.
    """

    requires = frozenset({Capability.REAL_LATENT})
    forbids = frozenset({Capability.DETERMINISTIC_POSTERIOR})
    exact_density = True
    bound = True
    options: ImportanceWeightedOptions

    def __init__(self, options: ImportanceWeightedOptions) -> None:
        super().__init__(options)
        if options.gradient == "dreg":
            self.requires = self.requires | {Capability.ONE_LEVEL}

    @property
    def samples(self) -> int:
        """See `Loss.samples`."""
        return self.options.samples

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Loss.diagnose`; the bound has no weight to change."""
        if not evidence.starved:
            return ()
        return [Finding("note", "", "more --epochs"), Finding("note", "", "--loss elbo --loss.free-bits 0.5")]

    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """See `Loss.terms`."""
        if self.options.gradient == "plain":
            weights = estimators.log_weights(output, batch.image)
            objective = -estimators.importance_weighted_bound(weights).mean()
        else:
            objective = doubly_reparameterised(output, batch.image)
        spread = distortion.mean().detach()
        rate = sum(level.mean() for level in rates).detach()
        return {"distortion": spread, "rate": rate, "importance_gain": objective - (spread + rate)}


def doubly_reparameterised(output: ModelOutput, image: Tensor) -> Tensor:
    """The negative bound, ``[]``, with the doubly reparameterised gradient; see `ImportanceWeighted`.

    Args:
        output: Of a model with one level and a diagonal normal posterior, its sample reparameterised.
        image: ``[B, C, H, W]``.

    Raises:
        IncompatibleError: If there are several levels, q is of another family or the model is compiled.
    """
    if len(output.latents) != 1:
        raise IncompatibleError(
            f"iwae: gradient dreg must be used with one level of latents, got {len(output.latents)}.",
            "Use --loss.gradient plain.",
        )
    latent = output.latents[0]
    held = replace(latent, posterior=_detached(latent.posterior))
    weights = estimators.log_weights(replace(output, latents=(held,)), image)
    bound = estimators.importance_weighted_bound(weights)
    share = weights.detach().softmax(0)
    if latent.sample.requires_grad:
        _refuse_compiled(latent.sample)
        # What reaches the parameters through z has been weighted by w̃ once; this is the second time.
        per_sample = share.reshape(share.shape + (1,) * (latent.sample.dim() - share.dim()))
        latent.sample.register_hook(lambda gradient: gradient * per_sample)
    return -bound.mean()


def _refuse_compiled(sample: Tensor) -> None:
    # A compiled model is one step of the backward pass: what the decoder sends to the sample inside it meets no hook.
    if sample.grad_fn is not None and sample.grad_fn.name().startswith("CompiledFunction"):
        raise IncompatibleError(
            "iwae: gradient dreg must be used with a model that is not compiled, got a compiled one.",
            "Leave --compile out, or use --loss.gradient plain.",
        )


def _detached(posterior: Distribution) -> Distribution:
    if not isinstance(posterior, DiagonalNormal):
        raise IncompatibleError(
            f"iwae: gradient dreg must be used with a diagonal normal posterior, got {type(posterior).__name__}.",
            "Use --loss.gradient plain.",
        )
    return DiagonalNormal(posterior.mean.detach(), posterior.log_variance.detach(), len(posterior.event_shape))
