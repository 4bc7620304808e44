"""Priors over codes by the chain rule, and the gated PixelCNN among them."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.errors import IncompatibleError
from genzoo.findings import Evidence, Finding
from genzoo.interfaces import Prior
from genzoo.interfaces.prior import Encode
from genzoo.types import ImageSpec, LatentSpec
from genzoo_autoregressive.options import AutoregressiveOptions, CodesOptions
from genzoo_autoregressive.pixelcnn import GatedPixelCNN
from genzoo_autoregressive.uniform import categories_of, uniform_codes

_log = logging.getLogger("genzoo.autoregressive")

_FURTHER = "more --prior.layers, a wider --prior.kernel or --prior.dilations 1,2"


class Network(Protocol):
    """What gives the logits of codes and draws them one after another."""

    size: tuple[int, int]
    position: Tensor

    def __call__(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits ``[N, K, h, w]`` for codes ``[N, h, w]`` and labels ``[N]``."""
        ...

    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """Maps ``[n, h, w]`` for labels ``[n]``."""
        ...


class CodesPrior(Prior):
    r"""A prior over codes by the chain rule, fitted once the model is trained.

    .. math:: p(z) = \prod_i p(z_i | z_{<i})

    Until `nll` has trained it, it is uniform: the rate is n·log K, which no encoder can change. From then on the rate is
    −log p(z) under the network. In neither case does a gradient pass through the distribution that `forward` returns, so
    that an objective with this prior trains the model and leaves the prior alone; `nll` alone trains it.

    Latents of two dimensions are read row by row; of one dimension, left to right; of more, with all but the last joined.

    Subclass requirements: ``name`` and `make`.

    Args:
        options: Size of the network, whether it uses labels, and how long it is fitted.
        latent: Shape and number of the codes.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If the latents are real-valued, or it should use labels that the data has not.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"categorical"})
    fitted: ClassVar[Literal["joint", "after"]] = "after"
    name: ClassVar[str]
    network: Network
    steps: Tensor

    def __init__(self, options: CodesOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.conditional = options.conditional  # pyright: ignore[reportAttributeAccessIssue]
        classes = image.classes or 0
        if options.conditional and not classes:
            raise IncompatibleError(
                f"{self.name}: the dataset must have labels, got one without.", "Leave conditional off."
            )
        self._classes = classes if options.conditional else 0
        self._epochs, self._lr = options.epochs, options.lr
        size = math.prod(latent.shape[:-1]), latent.shape[-1]
        self.network = self.make(categories_of(self.name, latent), size)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # The same on the host, so that no step waits for the device to know whether the prior is fitted.
        self._begun = False
        self.register_load_state_dict_post_hook(_recall)

    @abstractmethod
    def make(self, categories: int, size: tuple[int, int]) -> Network:
        """The network for maps of ``size``, rows and columns, of ``categories`` codes."""

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


class AutoregressivePrior(CodesPrior):
    r"""A gated PixelCNN over codes; see `CodesPrior`.

    A network of few layers does not reach from one corner of a wide map to the other, and takes such codes to be independent
    given what lies between. How many pairs that are is computed exactly and warned of.

    References:
        van den Oord et al. 2016, Conditional Image Generation with PixelCNN Decoders, equations 1 to 4.
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 3.3.
    """

    name: ClassVar[str] = "autoregressive"
    options: AutoregressiveOptions
    network: GatedPixelCNN

    def make(self, categories: int, size: tuple[int, int]) -> GatedPixelCNN:
        """See `CodesPrior.make`."""
        options = self.options
        network = GatedPixelCNN(
            categories,
            *size,
            channels=options.width,
            layers=options.layers,
            classes=self._classes,
            kernel=options.kernel,
            dilations=options.dilations,
        )
        self._unreached = network.unreached()
        places = math.prod(size)
        self._told = (
            f"{self._unreached} of {places * (places - 1) // 2} pairs of codes are independent given those between, since "
            f"{len(network.layers)} layers do not reach that far."
        )
        if self._unreached:
            _log.warning("autoregressive: %s Try %s.", self._told, _FURTHER)
        return network

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """See `Prior.diagnose`."""
        return (Finding("note", self._told, _FURTHER),) if self._unreached else ()


class Codes(Distribution):
    """The distribution of codes under a fitted `CodesPrior`; no gradient passes through it.

    Args:
        prior: The prior.
        label: int64 ``[B]``, which makes the batch ``[B]``, or None for batch ``[]``.
    """

    arg_constraints: ClassVar[Any] = {}
    support = constraints.nonnegative_integer  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: CodesPrior, label: Tensor | None) -> None:
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
    if isinstance(module, CodesPrior):
        module._begun = bool(module.steps > 0)  # pyright: ignore[reportPrivateUsage]
