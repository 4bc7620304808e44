"""The autoregressive prior over codes and its distribution."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_autoregressive.options import AutoregressiveOptions
from genzoo_autoregressive.pixelcnn import GatedPixelCNN
from genzoo_autoregressive.uniform import categories_of, uniform_codes

_log = logging.getLogger("genzoo.autoregressive")

_FURTHER = "more --prior.layers, a wider --prior.kernel or --prior.dilations 1,2"


class AutoregressivePrior(Prior):
    r"""A gated PixelCNN over codes, fitted once the model is trained.

    .. math:: p(z) = \prod_i p(z_i | z_{<i})

    Until `nll` has trained it, it is uniform: the rate is n·log K, which no encoder can change. From then on the rate is
    −log p(z) under the network. In neither case does a gradient pass through the distribution that `forward` returns, so
    that an objective with this prior trains the model and leaves the prior alone; `nll` alone trains it.

    A network of few layers does not reach from one corner of a wide map to the other, and takes such codes to be independent
    given what lies between. How many pairs that are is computed exactly and warned of.

    Latents of two dimensions are read row by row; of one dimension, left to right; of more, with all but the last joined.

    Args:
        options: Size of the network, whether it uses labels, and how long it is fitted.
        latent: Shape and number of the codes.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If the latents are real-valued, or it should use labels that the data has not.

    References:
        van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, equations 1 to 4.
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 3.3.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"categorical"})
    fitted: ClassVar[Literal["joint", "after"]] = "after"
    steps: Tensor

    def __init__(self, options: AutoregressiveOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        categories = categories_of("autoregressive", latent)
        self.conditional = options.conditional  # pyright: ignore[reportAttributeAccessIssue]
        classes = image.classes or 0
        if options.conditional and not classes:
            raise IncompatibleError(
                "autoregressive: the dataset must have labels, got one without.", "Leave conditional off."
            )
        self._classes = classes if options.conditional else 0
        self._epochs, self._lr = options.epochs, options.lr
        height, width = math.prod(latent.shape[:-1]), latent.shape[-1]
        self.network = GatedPixelCNN(
            categories,
            height,
            width,
            channels=options.width,
            layers=options.layers,
            classes=self._classes,
            kernel=options.kernel,
            dilations=options.dilations,
        )
        self._unreached = self.network.unreached()
        if self._unreached:
            _log.warning("autoregressive: %s Try %s.", self._told(), _FURTHER)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # The same on the host, so that no step waits for the device to know whether the prior is fitted.
        self._begun = False
        self.register_load_state_dict_post_hook(_recall)

    def _told(self) -> str:
        """What the layers do not reach, as a sentence."""
        places = math.prod(self.network.size)
        return (
            f"{self._unreached} of {places * (places - 1) // 2} pairs of codes are independent given those between, since "
            f"{len(self.network.layers)} layers do not reach that far."
        )

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Prior.diagnose`."""
        return (Finding("note", self._told(), _FURTHER),) if self._unreached else ()

    @property
    def fit_epochs(self) -> int | None:
        """See `Prior.fit_epochs`."""
        return self._epochs

    @property
    def fit_lr(self) -> float:
        """See `Prior.fit_lr`."""
        return self._lr

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; without a label a conditional prior is the mixture over labels."""
        if not self._begun:
            return uniform_codes(self.latent, self.network.position)
        return Codes(self, label if self._classes else None)

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.nll`; in training mode it also marks the prior as fitted."""
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            self._begun = True
        return -self.log_prob(latents, label)

    def log_prob(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """log p(z) under the network, whether fitted or not, with its gradient.

        Args:
            codes: int64 ``[*, *event]``.
            label: int64 that broadcasts to ``[*]``, or None: the mixture of all labels with equal weights.

        Returns:
            ``[*]`` in nats.
        """
        leading = codes.shape[: codes.dim() - len(self.latent.shape)]
        flat = codes.reshape(-1, *self.network.size)
        if not self._classes or label is not None:
            labels = label.expand(leading).reshape(-1) if self._classes and label is not None else None
            return self._log_prob(flat, labels).reshape(leading)
        each = [self._log_prob(flat, torch.full_like(flat[:, 0, 0], c)) for c in range(self._classes)]
        return (torch.stack(each).logsumexp(0) - math.log(self._classes)).reshape(leading)

    @torch.no_grad()
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """Codes drawn one after another, ``[n, *event]``, for labels ``[n]``; None draws the labels too."""
        if self._classes and label is None:
            label = torch.randint(self._classes, (n,), device=self.network.position.device)
        return self.network.draw(n, label).reshape(n, *self.latent.shape)

    def _logits(self, codes: Tensor, label: Tensor | None) -> Tensor:
        logits = self.network(codes, label)
        return logits.float() if logits.dtype.itemsize < 4 else logits

    def _log_prob(self, codes: Tensor, label: Tensor | None) -> Tensor:
        return -F.cross_entropy(self._logits(codes, label), codes, reduction="none").sum((-2, -1))


class Codes(Distribution):
    """The distribution of codes under a fitted `AutoregressivePrior`; no gradient passes through it.

    Args:
        prior: The prior.
        label: int64 ``[B]``, which makes the batch ``[B]``, or None for batch ``[]``.
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.nonnegative_integer  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: AutoregressivePrior, label: Tensor | None) -> None:
        self._prior = prior
        self._label = label
        batch = torch.Size() if label is None else label.shape
        super().__init__(batch, torch.Size(prior.latent.shape), validate_args=False)

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) of ``[*, *event]``, ``[*]`` in nats."""
        return self._prior.log_prob(value, self._label)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Codes ``[*sample_shape, *batch, *event]``."""
        leading = torch.Size(sample_shape) + self.batch_shape
        label = None if self._label is None else self._label.expand(leading).reshape(-1)
        return self._prior.draw(leading.numel(), label).reshape(leading + self.event_shape)


def _recall(module: torch.nn.Module, incompatible: Any) -> None:
    """After weights are loaded: take over whether they are fitted ones."""
    if isinstance(module, AutoregressivePrior):
        module._begun = bool(module.steps > 0)  # pyright: ignore[reportPrivateUsage]
