"""The `student-t` prior: heavy tails, dimension by dimension."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, StudentT

from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_student_t.options import StudentTOptions


class StudentTPrior(Prior):
    r"""A product of Student-t distributions of unit variance: unlike N(0, I) it does not look alike along rotated axes.

    .. math:: p(z) = \prod_i t_\nu(z_i / s) / s, \qquad s^2 = (\nu - 2) / \nu

    Args:
        options: The degrees of freedom ν.
        latent: Shape of the latents.
        image: What one image is.

    References:
        Mathieu et al. 2019, *Disentangling disentanglement in variational autoencoders*, section 4.
    """

    scale: Tensor

    def __init__(self, options: StudentTOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.freedom = options.freedom
        scale = ((options.freedom - 2) / options.freedom) ** 0.5
        self.register_buffer("scale", torch.full(latent.shape, scale), persistent=False)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`."""
        each = StudentT(self.freedom, torch.zeros_like(self.scale), self.scale, validate_args=False)
        return Independent(each, len(self.latent.shape), validate_args=False)
