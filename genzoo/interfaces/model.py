"""The interface of a model: latents and a likelihood from a batch, and images from latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo.errors import UsageError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces.generator import LatentGenerator, Parts
from genzoo.interfaces.likelihood import Likelihood
from genzoo.options import Options
from genzoo.randomness import seeded
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, ModelOutput

__all__ = ["Model", "Parts", "check_label"]


class Model(LatentGenerator):
    """Latents and a likelihood from a batch of images, and images from latents.

    Subclass requirements:
        - Class attribute ``capabilities``.
        - ``__init__(options, parts)``: call ``super().__init__(options, parts)``; set ``levels``, a `LatentSpec` a
          level, top first, and ``prior``, from ``parts.prior(levels[0])``.
        - `encode` and `decode`.
        - Optionally `after_step`, to update state that no gradient reaches, and `diagnose`.

    Args:
        options: The plugin's options.
        parts: Image spec, network, likelihood and prior factory.
    """

    likelihood: Likelihood

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__(options, parts)
        self.likelihood = parts.likelihood

    @abstractmethod
    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        """Infer latents.

        Args:
            batch: Images ``[B, C, H, W]`` and, for a conditional model, labels ``[B]``.
            samples: K, the number of posterior samples an image.
            context: Scheduled quantities (a temperature, say); None outside training.

        Returns:
            One `Latent` a level, top first, each with ``sample`` of shape ``[K, B, *event]``.
        """

    @abstractmethod
    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        """p(x|z) from the top latents given; lower levels are drawn from p(z_l | z_above), or are its mean.

        Args:
            latents: One tensor a level, top first, ``[*, *event]``; fewer than ``levels`` leaves the rest to the model.
            label: int64, of shape ``[B]`` where ``*`` ends in B; required by a conditional model.
            mean: Take the mean of the lower levels in place of a draw.

        Returns:
            Distribution with batch shape ``[*]`` and event ``[C, H, W]``.
        """

    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        """See `LatentGenerator.generate`: what `decode` makes of latents, shown; lower levels are their mean."""
        return self.likelihood.display(self.decode(latents, label, mean=True))

    def prior_of_top(self, label: Tensor | None = None) -> Distribution:
        """See `LatentGenerator.prior_of_top`."""
        return self.prior(label=label, encode=self._posterior_of)

    def posterior(self, image: Tensor, label: Tensor | None = None) -> Distribution:
        """q(z|x) of the top level.

        Args:
            image: ``[B, C, H, W]`` in [0, 1].
            label: int64 ``[B]``; None where the model takes none.

        Returns:
            Distribution with batch shape ``[B]``.
        """
        if label is None and type(self)._posterior_of is not Model._posterior_of:
            return self._posterior_of(image)
        return self.encode(Batch(image, label)).latents[0].posterior

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """What the model's own options say about a trained run; core prints it after its own findings.

        Called once a run has ended, with gradients off. Return a finding where an option explains what was measured, and
        name the flag that would change it.

        Args:
            evidence: What was measured; ``evidence.starved`` says that latents are not used as they should be.
        """
        return ()

    def forward(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> ModelOutput:
        """Encode, then decode what was encoded. See `encode`."""
        encoding = self.encode(batch, samples=samples, context=context)
        likelihood = self.decode([latent.to_decoder for latent in encoding.latents], batch.label)
        return ModelOutput(encoding.latents, likelihood, encoding.auxiliary, encoding.state)

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, *, seed: int | None = None, mean: bool = True) -> Tensor:
        """See `Generator.sample`; lower levels are drawn."""
        self.check_sample(n, label)
        with seeded(seed):
            likelihood = self.decode([self.sample_top(n, label)], label)
            return self.likelihood.display(likelihood) if mean else self.likelihood.draw(likelihood)

    def check_batch(self, batch: Batch) -> None:
        """Refuse images of another shape and missing or wrong labels, in words that name the rule broken.

        Raises:
            UsageError: If the shape differs from ``self.image``, or a conditional model gets no or wrong labels.
        """
        if tuple(batch.image.shape[1:]) != self.image.shape:
            raise UsageError(
                f"encode: image must be [B, {', '.join(map(str, self.image.shape))}], got {list(batch.image.shape)}."
            )
        if Capability.CONDITIONAL in self.capabilities:
            check_label(batch.label, self.image)

    def _posterior_of(self, image: Tensor) -> Distribution:
        return self.posterior(image)


def check_label(label: Tensor | None, image: ImageSpec) -> Tensor:
    """The label, if it is given: int64 of data with classes, or a float vector ``[*, C]`` of the images' conditions.

    Its values are not checked, which would wait for the device: one outside of [0, classes) fails where it is used as an
    index.

    Raises:
        UsageError: Otherwise.
    """
    if label is None:
        raise UsageError("decode: label must be given for a conditional model, got None.")
    if image.conditions:
        if not label.is_floating_point() or label.shape[-1:] != (len(image.conditions),):
            raise UsageError(
                f"decode: label must be float [*, {len(image.conditions)}], one number per condition, got {label.dtype} "
                f"{list(label.shape)}."
            )
        return label
    if image.classes is None:
        raise UsageError("decode: a conditional model must have a dataset with labels, got one without.")
    if label.dtype != torch.int64:
        raise UsageError(f"decode: label must be int64, got {label.dtype}.")
    return label
