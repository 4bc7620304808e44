"""The base of priors that are fitted once the model is trained, and the distribution of what they draw."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.interfaces import Prior
from genzoo.parts.fitted_options import FittedAfterOptions
from genzoo.parts.labels import labels_used
from genzoo.types import ImageSpec, LatentSpec


class FittedAfter(Prior):
    """A prior that is fitted in a stage of its own, and that knows from its weights whether it has been.

    Until `begin` was called in training, ``begun`` is false and `forward` gives a fixed distribution. Saved weights hold the
    number of steps, so that a loaded prior knows it too.

    Subclass requirements: ``name``; `forward`, which reads ``begun``; `nll` or `fit_loss`, which calls `begin`; `draw`.

    Args:
        options: Whether it uses labels, and how long it is fitted.
        latent: Shape and categories of the latents.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not.
    """

    fitted: ClassVar[Literal["joint", "after"]] = "after"
    name: ClassVar[str]
    steps: Tensor

    def __init__(self, options: FittedAfterOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        self.classes = labels_used(self.name, options.conditional, image)
        """Number of labels that it uses; 0 where it uses none."""
        self.conditional = options.conditional  # pyright: ignore[reportAttributeAccessIssue]
        self._epochs = options.epochs
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.begun = False
        """Whether it is fitted. It says the same as ``steps > 0``, on the host, so that no step waits for the device."""
        self.register_load_state_dict_post_hook(_recall)

    @property
    def fit_epochs(self) -> int | None:
        """See `Prior.fit_epochs`."""
        return self._epochs

    def begin(self) -> None:
        """In a step of training: note that the prior is fitted from now on."""
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            self.begun = True

    @abstractmethod
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """``n`` draws, ``[n, *event]``, for labels ``[n]``; None draws the labels too. Without gradients."""

    def labels(self, n: int, label: Tensor | None) -> Tensor | None:
        """Labels of ``n`` draws: those given, or random ones for a conditional prior."""
        if self.classes and label is None:
            return torch.randint(self.classes, (n,), device=self.steps.device)
        return label


class Drawn(Distribution):
    """The distribution of what a fitted `FittedAfter` draws.

    Subclass requirements: ``support`` and ``log_prob``.

    Args:
        prior: The prior.
        label: int64 ``[B]``, which makes the batch ``[B]``, or None for batch ``[]``.
    """

    arg_constraints: ClassVar[Any] = {}

    def __init__(self, prior: FittedAfter, label: Tensor | None) -> None:
        self._label, self._draw = label, prior.draw
        batch = torch.Size() if label is None else label.shape
        super().__init__(batch, torch.Size(prior.latent.shape), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Latents ``[*sample_shape, *batch, *event]``."""
        leading = torch.Size(sample_shape) + self.batch_shape
        return self._draw(leading.numel(), self.labels(leading)).reshape(leading + self.event_shape)

    def labels(self, leading: torch.Size) -> Tensor | None:
        """Its labels for latents ``[*leading, *event]``, in one row."""
        return None if self._label is None else self._label.expand(leading).reshape(-1)


def _recall(module: nn.Module, incompatible: Any) -> None:
    """After weights are loaded: take over whether they are fitted ones."""
    if isinstance(module, FittedAfter):
        module.begun = bool(module.steps > 0)
