"""The label-conditional normal prior p(z|c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_label_prior.options import LabelNormalOptions


class LabelNormalPrior(Prior):
    r"""A normal for each label, :math:`p(z|c) = \mathcal N(\mu_c, \mathrm{diag}\,\sigma_c^2)`, learned with the model.

    Without labels it is the mixture of all classes with equal weights, :math:`p(z) = \frac1C \sum_c p(z|c)`. The rate is
    in closed form with labels, and a Monte Carlo estimate without.

    Args:
        options: How the classes' means start and whether their variances are learned.
        latent: The level's latents, real-valued.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If the data has no labels.

    References:
        Sohn et al. 2015, Learning Structured Output Representation using Deep Conditional Generative Models, equation 4.

    Differs from the paper: the prior depends on a label alone, so that its network is a table with one row a label.
    """

    conditional: ClassVar[bool] = True

    def __init__(self, options: LabelNormalOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        if not image.classes:
            raise IncompatibleError(
                "label-normal: the dataset must have labels, got one without.", "Choose standard-normal or mixture."
            )
        shape = (image.classes, *latent.shape)
        self.mean = nn.Parameter(torch.randn(shape) * options.spread)
        self.log_variance = nn.Parameter(torch.zeros(shape), requires_grad=options.learn_scale)

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Prior.diagnose`: the rate leaves out what the latents say of the label, which this prior knows."""
        if evidence.rate >= 1 or not evidence.used:
            return ()
        text = "The prior knows the label, so the rate counts only what the latents say beyond it."
        return [Finding("note", text)]

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; None gives the mixture of all classes."""
        dims = len(self.latent.shape)
        if label is not None:
            return DiagonalNormal(self.mean[label], self.log_variance[label], dims)
        classes = DiagonalNormal(self.mean, self.log_variance, dims)
        weights = Categorical(logits=self.mean.new_zeros(len(self.mean)), validate_args=False)
        return MixtureSameFamily(weights, classes, validate_args=False)
