"""The ladder VAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Model, Parts
from genzoo.parts.activation import activation
from genzoo.parts.gaussian import diagonal_normal
from genzoo.parts.leading import over_leading
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec
from genzoo_ladder_vae.merge import Sampled, merge
from genzoo_ladder_vae.options import LadderOptions


class LadderVAE(Model):
    r"""A hierarchy of latents with a deterministic way up and a stochastic way down.

    .. math:: p(x, z) = p(x|z_1)\, p(z_L) \prod_{l<L} p(z_l | z_{l+1}), \qquad
        q(z|x) = q(z_L|x) \prod_{l<L} q(z_l | z_{l+1}, x)

    where for top-down inference q(z_l | z_{l+1}, x) is the precision-weighted `merge` of a normal that the image gives
    through deterministic features d_l and of p(z_l | z_{l+1}). Bottom-up inference has
    :math:`q(z|x) = q(z_1|x) \prod_l q(z_{l+1} | z_l)` instead. Each level reports its own rate; those below the top of
    bottom-up inference are Monte Carlo estimates, all others closed forms given the level above.

    Args:
        options: Latent dimensions and hidden units of each level, and the direction of inference.
        parts: The network encodes the image into d_1 and decodes z_1; the prior is the top level's.

    References:
        Sønderby et al. 2016, Ladder Variational Autoencoders, section 2 and equations 18 and 19.

    Without normalisation the features that the upper levels see fade on their way up, and those levels carry nothing from
    the first epoch on. The paper's is ``norm="batch"``; the default keeps the images of a batch independent.

    Differs from the paper: layer normalisation by default, and log-variances in place of a softplus.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.REAL_LATENT, Capability.HIERARCHICAL})

    options: LadderOptions

    def __init__(self, options: LadderOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        self.levels = tuple(LatentSpec((dim,)) for dim in options.latent_dims)
        self.prior = parts.prior(self.levels[0])
        self._top_down = options.inference == "top-down"
        # From here on bottom first, as features are computed.
        dims, widths = options.latent_dims[::-1], options.widths[::-1]

        def layer(size: int, width: int) -> list[nn.Module]:
            return [nn.Linear(size, width), *norm(width), activation(options.activation)]

        def norm(width: int) -> list[nn.Module]:
            if options.norm == "none":
                return []
            return [nn.BatchNorm1d(width) if options.norm == "batch" else nn.LayerNorm(width)]

        def hidden(size: int, width: int) -> list[nn.Module]:
            return [*layer(size, width), *layer(width, width)]

        channels = parts.likelihood.channels(parts.image)
        self.encoder = parts.network.encoder(parts.image.shape, (widths[0],))
        self.decoder = parts.network.decoder((dims[0],), (channels, *parts.image.shape[1:]))
        self.first = nn.Sequential(*norm(widths[0]), activation(options.activation))
        below = widths if self._top_down else dims
        self.up = nn.ModuleList(
            nn.Sequential(*hidden(size, width)) for size, width in zip(below, widths[1:], strict=False)
        )
        self.heads = nn.ModuleList(nn.Linear(width, 2 * dim) for width, dim in zip(widths, dims, strict=True))
        self.down = nn.ModuleList(
            nn.Sequential(*hidden(above, width), nn.Linear(width, 2 * dim))
            for above, width, dim in zip(dims[1:], widths, dims, strict=False)
        )

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """See `Model.encode`."""
        self.check_batch(batch)
        posteriors, drawn = self._infer(batch.image, samples)
        priors: list[Distribution] = [self.prior_of_top(batch.label)]
        for level, above in zip(reversed(range(len(self.down))), drawn, strict=False):
            below = self._below(above, level)
            priors.append(below if self._top_down else Sampled(below))
        return Encoding(tuple(Latent(q, p, z) for q, p, z in zip(posteriors, priors, drawn, strict=True)))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """See `Model.decode`; the label does not enter.

        Raises:
            UsageError: If there are no latents, or more than the model has levels.
        """
        if not 1 <= len(latents) <= len(self.levels):
            raise UsageError(f"decode: latents must be 1 to {len(self.levels)} levels, got {len(latents)}.")
        z = latents[-1]
        for level in reversed(range(len(self.levels) - len(latents))):
            below = self._below(z, level)
            z = below.mean if mean else below.rsample()
        return self.likelihood(over_leading(self.decoder, z, self.levels[-1].shape))

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Model.diagnose`: without normalisation the features that the upper levels see fade."""
        if not evidence.starved or self.options.norm != "none":
            return ()
        text = "Nothing normalises the hidden layers between the levels, where features fade on their way up."
        return [Finding("note", text, "--model.norm layer")]

    def _below(self, above: Tensor, level: int) -> DiagonalNormal:
        """p(z_l | z_{l+1}) of a level counted from 0 at the bottom."""
        return diagonal_normal(over_leading(self.down[level], above, self.levels[-2 - level].shape))

    def _upper(self, level: int, below: Tensor) -> DiagonalNormal:
        """q(z_{l+1} | z_l) of bottom-up inference, from a level counted from 0 at the bottom."""
        up, head = self.up[level], self.heads[level + 1]
        return diagonal_normal(head(over_leading(up, below, self.levels[-1 - level].shape)))

    def _infer(self, image: Tensor, samples: int) -> tuple[list[DiagonalNormal], list[Tensor]]:
        """Posterior and draw of each level, top first."""
        return self._infer_down(image, samples) if self._top_down else self._infer_up(image, samples)

    def _evidence(self, image: Tensor) -> list[DiagonalNormal]:
        """What the image says of each level by itself, bottom first."""
        features = [self.first(self.encoder(image))]
        for up in self.up:
            features.append(up(features[-1]))
        return [diagonal_normal(head(d)) for head, d in zip(self.heads, features, strict=True)]

    def _infer_down(self, image: Tensor, samples: int) -> tuple[list[DiagonalNormal], list[Tensor]]:
        evidence = self._evidence(image)
        posteriors = [evidence[-1]]
        drawn = [evidence[-1].rsample((samples,))]
        for level in reversed(range(len(self.down))):
            posterior = merge(evidence[level], self._below(drawn[-1], level))
            posteriors.append(posterior)
            drawn.append(posterior.rsample())
        return posteriors, drawn

    def _infer_up(self, image: Tensor, samples: int) -> tuple[list[DiagonalNormal], list[Tensor]]:
        posteriors = [diagonal_normal(self.heads[0](self.first(self.encoder(image))))]
        drawn = [posteriors[0].rsample((samples,))]
        for level in range(len(self.up)):
            posteriors.append(self._upper(level, drawn[-1]))
            drawn.append(posteriors[-1].rsample())
        return posteriors[::-1], drawn[::-1]

    def _posterior_of(self, image: Tensor) -> Distribution:
        """q of the top level, for a prior made of it; bottom-up it depends on one draw of the levels below."""
        if self._top_down:
            return self._evidence(image)[-1]
        posterior = self._infer_up(image, 1)[0][0]
        return DiagonalNormal(posterior.mean[0], posterior.log_variance[0])
