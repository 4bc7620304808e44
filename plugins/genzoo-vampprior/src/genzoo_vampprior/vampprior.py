"""The variational mixture of posteriors prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_vampprior.mixture import DiagonalNormalMixture
from genzoo_vampprior.options import VampPriorOptions


class VampPrior(Prior):
    r"""A mixture of the model's own posteriors at K learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_{k=1}^K q(z|u_k)

    Pseudo-inputs are images, kept in [0, 1] by clamping. Its rate is a Monte Carlo estimate. In a hierarchical model it
    is the prior of the top level, made of that level's posterior.

    Args:
        options: How many pseudo-inputs, how they start, and whether the weights are learned.
        latent: The level's latents, real-valued.
        image: Shape of a pseudo-input.

    References:
        Tomczak & Welling 2018, VAE with a VampPrior, equation 9.

    Differs from the paper: pseudo-inputs are parameters themselves rather than a linear layer's output of one-hot
    inputs, which is the same function; and starting from training images is the default, as in the authors' code
    with ``use_training_data_init``.
    """

    def __init__(self, options: VampPriorOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self._start, self._noise = options.initial, options.noise
        shape = (options.pseudo_inputs, *image.shape)
        self.pseudo_inputs = nn.Parameter(0.5 + options.noise * torch.randn(shape))
        self.weight_logits = nn.Parameter(torch.zeros(options.pseudo_inputs), requires_grad=options.learn_weights)

    @property
    def images(self) -> Tensor:
        """The pseudo-inputs as images ``[K, C, H, W]`` in [0, 1]."""
        return self.pseudo_inputs.clamp(0, 1)

    def initialise(self, images: Tensor) -> None:
        """See `Prior.initialise`; training images at random, used more than once when there are too few."""
        if self._start != "data":
            return
        count = len(self.pseudo_inputs)
        order = torch.cat([torch.randperm(len(images)) for _ in range(-(-count // len(images)))])[:count]
        with torch.no_grad():
            chosen = images[order.to(images.device)].to(self.pseudo_inputs)
            self.pseudo_inputs.copy_(chosen + self._noise * torch.randn_like(chosen))

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`.

        Raises:
            IncompatibleError: If the model gives no way to encode pseudo-inputs.
        """
        if encode is None:
            raise IncompatibleError(
                "vampprior: encode must be given by the model, got None.", "Take the prior from model.prior_of_top()."
            )
        weights = Categorical(logits=self.weight_logits, validate_args=False)
        components = encode(self.images)
        if isinstance(components, DiagonalNormal) and len(components.event_shape) == 1:
            return DiagonalNormalMixture(weights, components)
        return MixtureSameFamily(weights, components, validate_args=False)
