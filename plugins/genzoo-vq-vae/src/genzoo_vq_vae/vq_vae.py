"""The VQ-VAE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Model, Parts
from genzoo.parts.leading import over_leading
from genzoo.parts.point_mass import PointMass
from genzoo.types import Batch, Capability, Context, Encoding, Latent, LatentSpec, ModelOutput
from genzoo_vq_vae.codebook import Codebook, perplexity
from genzoo_vq_vae.options import VQVAEOptions


class VQVAE(Model):
    r"""An autoencoder whose latent is a map of codes, each the nearest of K vectors to what the encoder puts there.

    .. math:: L = \frac{P}{v} \mathrm{MSE} + P\,\mathrm{mean}\,\|\mathrm{sg}[z_e] - e\|^2
        + \beta P\,\mathrm{mean}\,\|z_e - \mathrm{sg}[e]\|^2

    with P pixels, which is P times the published loss of means. The first term is the distortion under a `gaussian`
    likelihood of scale √(v/2), up to a constant: v = 1 for the plain MSE, the pixels' variance for the published one. The
    second is there for a gradient codebook only. As sums over the D·h·w elements of the latent, the published weight
    β = 0.25 becomes β·P/(D·h·w), which for MNIST, 28×28 pixels and 16×7×7 elements, is 0.25 again.

    The posterior is a point mass: its rate is −log p(z), n·log K under a uniform prior, and importance sampling would say
    nothing. The decoder reads the codes' vectors, and the gradient passes straight through to the encoder.

    `Encoding.state` holds ``perplexity`` and ``usage`` (the fraction of codes in use) of the batch, and ``encoded``, the
    encoder's vectors ``[B, h, w, D]``, for `after_step`.

    Args:
        options: Codebook size and kind, downsampling and commitment.
        parts: The network goes between an image and a map ``(D, h, w)``.

    References:
        van den Oord et al. 2017, Neural Discrete Representation Learning, equations 1 to 3 and appendix A.1.

    Differs from the paper: the body is the network's, without residual blocks; the codebook moves by running means
    unless told otherwise.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.CATEGORICAL_LATENT, Capability.ONE_LEVEL, Capability.DETERMINISTIC_POSTERIOR}
    )

    options: VQVAEOptions

    def __init__(self, options: VQVAEOptions, parts: Parts) -> None:
        super().__init__(options, parts)
        _, height, width = parts.image.shape
        size = (-(-height // options.downsampling), -(-width // options.downsampling))
        self._map = (options.code_dim, *size)
        self._commitment = options.commitment
        self.levels = (LatentSpec(size, categories=options.codes),)
        self.prior = parts.prior(self.levels[0])
        channels = parts.likelihood.channels(parts.image)
        self.encoder = parts.network.encoder(parts.image.shape, self._map)
        self.decoder = parts.network.decoder(self._map, (channels, height, width))
        self.codebook = Codebook(
            options.codes,
            options.code_dim,
            decay=options.decay,
            revive_below=options.revive_below,
            learned=options.codebook == "gradient",
        )

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """See `Model.encode`; all samples are the same, for the posterior is a point mass."""
        self.check_batch(batch)
        encoded = self._encoded(batch.image)
        codes = self.codebook.nearest(encoded)
        vectors = self.codebook.lookup(codes)
        straight = encoded + (vectors - encoded).detach()
        posterior = PointMass(codes, 2, encoded.dtype)
        latent = Latent(
            posterior,
            self.prior_of_top(batch.label),
            posterior.sample((samples,)),
            straight.permute(0, 3, 1, 2).expand(samples, -1, -1, -1, -1),
        )
        pixels = self.image.pixels
        auxiliary = {"commitment": self._commitment * pixels * _mean_square(encoded - vectors.detach())}
        if self.codebook.learned:
            auxiliary["codebook"] = pixels * _mean_square(encoded.detach() - vectors)
        counts = self.codebook.count(codes)
        state = {
            "perplexity": perplexity(counts),
            "usage": (counts > 0).float().mean(),
            "encoded": encoded.detach(),
        }
        return Encoding((latent,), auxiliary, state)

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """See `Model.decode`; takes codes ``[*, h, w]`` or the vectors ``[*, D, h, w]`` in their place."""
        latent = latents[0]
        if not latent.is_floating_point():
            latent = self.codebook.lookup(latent).movedim(-1, -3)
        return self.likelihood(over_leading(self.decoder, latent, self._map))

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Model.diagnose`: what the prior spends on a code, and what may bring idle codes back."""
        (level,) = evidence.levels
        options, codes = self.options, self.options.codes
        spent, even = evidence.rate / level.size, math.log(codes)
        found: list[Finding] = []
        if math.isclose(spent, even, rel_tol=1e-3):
            text = (
                f"The prior is uniform, {even:.2f} nats per code whatever it is, so the rate says nothing of the codes."
            )
        else:
            text = (
                f"The prior spends {spent:.2f} nats on each of an image's {level.size} codes, where their own frequencies "
                f"take {level.entropy:.2f}."
            )
        found.append(Finding("note", text))
        if evidence.early or evidence.alike or evidence.worse_than_constant or (evidence.used and not level.idle):
            return found
        remedies = ["--model.codebook ema"] if options.codebook == "gradient" else []
        remedies.append(f"--model.revive-below {min(0.5, 2 * options.revive_below) or 0.05:g}")
        if codes > 2:
            remedies.append(f"fewer codes (--model.codes {codes // 2})")
        return [*found, *(Finding("note", "", remedy) for remedy in [*remedies, "a lower --lr"])]

    @torch.no_grad()
    def after_step(self, output: ModelOutput) -> None:
        """See `Model.after_step`; moves the running means and revives codes."""
        codes = output.latents[0].sample[0]
        encoded = output.state["encoded"]
        self.codebook.update(encoded.flatten(0, -2), codes.flatten())

    def _encoded(self, image: Tensor) -> Tensor:
        """z_e, ``[B, h, w, D]``, in float32 or float64."""
        raw = self.encoder(image).permute(0, 2, 3, 1)
        return raw.float() if raw.dtype.itemsize < 4 else raw

    def _posterior_of(self, image: Tensor) -> Distribution:
        encoded = self._encoded(image)
        return PointMass(self.codebook.nearest(encoded), 2, encoded.dtype)


def _mean_square(difference: Tensor) -> Tensor:
    """Mean over the elements of each image, ``[B]``."""
    return difference.square().flatten(1).mean(1)
