"""The interface of a prior: p(z) or p(z|c)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.findings import Evidence, Finding
from genzoo.options import Options
from genzoo.types import ImageSpec, LatentSpec, Report, Shape

Encode = Callable[[Tensor], Distribution]


class Prior(nn.Module, ABC):
    """p(z), fixed, learned with the model, or fitted after it.

    Subclass requirements:
        - `forward`.
        - ``supports``: ``"real"``, ``"categorical"`` or both.
        - ``conditional = True`` if the label changes the distribution.
        - ``fitted = "after"`` if it is trained on a finished model's latents, by default through `nll`, for
          ``fit_epochs`` epochs at ``fit_lr``. Before it is fitted, `forward` must return a fixed distribution (for example
          uniform) and must not send gradients to the prior's parameters.
        - ``fits``: the ways in which it can be fitted, where ``fitted`` is not the only one; ``--fit-prior`` chooses.
        - ``density``: what ``log_prob`` of its distribution is, if not exact.
        - Optionally `fit_loss` and ``fit_report``, where fitting minimises something else than `nll`.
        - ``needs_field = True`` if it is made of a network that maps images to images; `prepare` receives it.

    Args:
        options: The plugin's options.
        latent: Shape and categories of the level that it is the prior of.
        image: What one image is, for pseudo-inputs and class counts.
    """

    supports: ClassVar[frozenset[str]] = frozenset({"real"})
    conditional: ClassVar[bool] = False
    fitted: ClassVar[Literal["joint", "after"]] = "joint"
    fits: ClassVar[frozenset[str]] = frozenset()
    density: ClassVar[Literal["exact", "bound", "estimate", "none"]] = "exact"
    needs_field: ClassVar[bool] = False
    fit_report: ClassVar[Report] = Report("nll", "−log p(z)", "nats", "lower")

    def __init__(self, options: Options, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__()
        self.options = options
        self.latent = latent
        self.image = image

    @property
    def fit_epochs(self) -> int | None:
        """Epochs over the training images' latents that the second stage takes; None takes a third of the run's."""
        return None

    @property
    def fit_lr(self) -> float | None:
        """Learning rate of that stage, before its schedule; None takes the run's."""
        return None

    @abstractmethod
    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        """p(z), batch ``[]``; or p(z|c), batch ``[B]``, for labels ``[B]``.

        Args:
            label: int64 ``[B]``; ignored unless ``conditional``.
            encode: From images to the model's q(z|x), for a prior made of pseudo-inputs.
        """

    def initialise(self, images: Tensor) -> None:
        """See training images once, ``[N, C, H, W]`` in [0, 1], before training; for pseudo-inputs."""

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """−log p(z) of ``[B, *event]``, ``[B]`` in nats; what the stage that fits the prior minimises."""
        return -self(label=label).log_prob(latents)

    def fit_loss(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """What the stage that fits the prior minimises, ``[B]`` for ``[B, *event]``, named by ``fit_report``."""
        return self.nll(latents, label)

    def prepare(self, field: Callable[[Shape, Shape], nn.Module]) -> None:
        """Receive what makes fields, once, when ``needs_field``.

        Args:
            field: ``field(image, condition)`` gives a module from ``[B, *image]`` and ``[B, *condition]`` to
                ``[B, *image]``; see `Network.field`.
        """

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """What the prior says about a trained run. See `Model.diagnose`."""
        return ()
