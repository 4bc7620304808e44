"""The interfaces of what makes images: a generator, and a generator with a latent space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.errors import UsageError
from genzoo.interfaces.likelihood import Likelihood
from genzoo.interfaces.network import Network
from genzoo.interfaces.prior import Prior
from genzoo.options import Options
from genzoo.randomness import seeded
from genzoo.types import Capability, ImageSpec, LatentSpec


@dataclass(frozen=True)
class Parts:
    """What a model is built from; the composer resolves it from names.

    Args:
        image: What one image is.
        network: Makes encoder and decoder bodies.
        likelihood: p(x|z) from the decoder's raw output.
        prior: Makes the prior of the top level from that level's `LatentSpec`.
        prior_supports: What latents the prior supports, ``"real"``, ``"categorical"`` or both; a model whose latents can
            be either looks here.
    """

    image: ImageSpec
    network: Network
    likelihood: Likelihood
    prior: Callable[[LatentSpec], Prior]
    prior_supports: frozenset[str] = frozenset({"real", "categorical"})


class Generator(nn.Module, ABC):
    """Makes images; all that is asked of a model of any family.

    Subclass requirements:
        - Attribute ``capabilities``, of the class or set in ``__init__``: `Capability` members, and a third party's own
          as ``"distribution:word"``.
        - ``__init__(options, parts)``: call ``super().__init__(options, parts)``.
        - `sample`.
        - Optionally `after_step`, to update state that no gradient reaches.

    Args:
        options: The plugin's options.
        parts: Image spec, network, likelihood and prior factory.
    """

    capabilities: ClassVar[Any]
    """frozenset of str; not typed closer, so that a subclass may declare a set of `Capability` or of its own strings, or
    set it per instance."""

    def __init__(self, options: Options, parts: Parts) -> None:
        super().__init__()
        self.options = options
        self.image = parts.image

    @property
    def quantities(self) -> Mapping[str, float]:
        """Configured values of what a scheduler may drive in the model itself, such as a temperature."""
        return {}

    @abstractmethod
    def sample(self, n: int, label: Tensor | None = None, *, seed: int | None = None, mean: bool = True) -> Tensor:
        """Images drawn from the model.

        Args:
            n: How many.
            label: int64 ``[n]``, or a vector of conditions for each; required by a conditional model. See `Batch`.
            seed: Seed of the draw; the global random state is put back. None draws from the global state.
            mean: Show the likelihood's mean instead of a draw from it, where the model has a likelihood.

        Returns:
            ``[n, C, H, W]`` in [0, 1].

        Raises:
            UsageError: If ``n`` is below 1, or the model is conditional and ``label`` is None.
        """

    def after_step(self, output: Any) -> None:
        """Called after each training step with the output it was made of; for moving-average codebooks."""

    def check_sample(self, n: int, label: Tensor | None) -> None:
        """Refuse a number of images below 1 and a missing label. See `sample`."""
        if n < 1:
            raise UsageError(f"sample: n must be at least 1, got {n}.")
        if label is None and Capability.CONDITIONAL in self.capabilities:
            raise UsageError(
                "sample: label must be given for a conditional model, got None.", "Pass one label per image."
            )


class LatentGenerator(Generator):
    """A prior and a map from latents to images: a GAN's generator, or a model that can also encode.

    Subclass requirements, beside those of `Generator`:
        - ``levels``, one `LatentSpec` per level with the top level first, and ``prior``, from ``parts.prior(levels[0])``.
        - `generate`. `sample` is implemented from it.
    """

    levels: tuple[LatentSpec, ...]
    prior: Prior

    @abstractmethod
    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        """Images of latents, as they are shown.

        Args:
            latents: One tensor per level, top first, ``[N, *event]``; fewer than ``levels`` leaves the rest to the model.
            label: int64 ``[N]``; required by a conditional model.

        Returns:
            ``[N, C, H, W]`` in [0, 1], with gradients where they are on.
        """

    def prior_of_top(self, label: Tensor | None = None) -> Distribution:
        """p(z) of the top level, or p(z|c) for a conditional prior with labels ``[B]``."""
        return self.prior(label=label)

    def sample_top(self, n: int, label: Tensor | None = None) -> Tensor:
        """``n`` draws of the top level's prior, ``[n, *event]``, from torch's random state."""
        prior = self.prior_of_top(label)
        return prior.sample(torch.Size() if prior.batch_shape else torch.Size([n]))

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, *, seed: int | None = None, mean: bool = True) -> Tensor:
        """See `Generator.sample`."""
        self.check_sample(n, label)
        with seeded(seed):
            return self.generate([self.sample_top(n, label)], label)
