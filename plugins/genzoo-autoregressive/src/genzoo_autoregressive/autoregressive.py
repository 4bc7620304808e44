"""Priors over codes by the chain rule, and the gated PixelCNN among them."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from genzoo.findings import Evidence, Finding
from genzoo.interfaces.prior import Encode
from genzoo.parts.fitted_after import Drawn, FittedAfter
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


class CodesPrior(FittedAfter):
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
    options: CodesOptions
    network: Network

    def __init__(self, options: CodesOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        size = math.prod(latent.shape[:-1]), latent.shape[-1]
        self.network = self.make(categories_of(self.name, latent), size)

    @abstractmethod
    def make(self, categories: int, size: tuple[int, int]) -> Network:
        """The network for maps of ``size``, rows and columns, of ``categories`` codes."""

    @property
    def fit_lr(self) -> float:
        """See `Prior.fit_lr`."""
        return self.options.lr

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """See `Prior.forward`; without a label a conditional prior is the mixture over labels."""
        if not self.begun:
            return uniform_codes(self.latent, self.network.position)
        return Codes(self, label if self.classes else None)

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.nll`; in training mode it also marks the prior as fitted."""
        self.begin()
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
        if not self.classes or label is not None:
            labels = label.expand(leading).reshape(-1) if self.classes and label is not None else None
            return self._log_prob(flat, labels).reshape(leading)
        each = [self._log_prob(flat, torch.full_like(flat[:, 0, 0], c)) for c in range(self.classes)]
        return (torch.stack(each).logsumexp(0) - math.log(self.classes)).reshape(leading)

    @torch.no_grad()
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """See `FittedAfter.draw`; one code after another."""
        return self.network.draw(n, self.labels(n, label)).reshape(n, *self.latent.shape)

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
            classes=self.classes,
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


class Codes(Drawn):
    """The distribution of codes under a fitted `CodesPrior`; no gradient passes through it. See `Drawn`."""

    support = constraints.nonnegative_integer  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, prior: CodesPrior, label: Tensor | None) -> None:
        super().__init__(prior, label)
        self._prior = prior

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z) of ``[*, *event]``, ``[*]`` in nats."""
        return self._prior.log_prob(value, self._label)
