"""The interface of a likelihood: p(x|z) from a decoder's raw output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from genzoo.errors import UsageError
from genzoo.findings import Evidence, Finding
from genzoo.options import Options
from genzoo.types import ImageSpec


class Likelihood(nn.Module, ABC):
    """p(x|z), a distribution over images, from a decoder's raw output.

    Subclass requirements:
        - `distribution`, from float32 raw output to a Distribution with event ``[C, H, W]``.
        - `channels`, unless it is one number a pixel and channel.
        - `display`, unless the mean already lies in [0, 1].
        - Optionally `least_distortion` and `diagnose`, for the verdict on a trained run.
        - ``levels``: how many grey levels, equally far apart from 0 to 1, it is a distribution over, if it is one and not
          of 2 or 256.
        - ``density``: what ``log_prob`` of its distribution is, if not exact.

    Args:
        options: The plugin's options.
    """

    density: ClassVar[Literal["exact", "bound", "estimate", "none"]] = "exact"
    levels: int | None = None

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    @abstractmethod
    def distribution(self, raw: Tensor) -> Distribution:
        """p(x|z) from float32 ``[*, channels, H, W]``: batch ``[*]``, event ``[C, H, W]``, ``validate_args=False``."""

    def channels(self, image: ImageSpec) -> int:
        """How many channels the decoder must put out."""
        return image.channels

    def display(self, likelihood: Distribution) -> Tensor:
        """An image in [0, 1] to look at: the mean, clamped."""
        return likelihood.mean.clamp(0, 1)

    def draw(self, likelihood: Distribution) -> Tensor:
        """A draw of p(x|z), clamped to [0, 1]."""
        return likelihood.sample().clamp(0, 1)

    def least_distortion(self, image: Tensor) -> Tensor | None:
        """The least −log p(x|z) that any raw output reaches, ``[B]`` in nats for images ``[B, C, H, W]``.

        None where there is no least value, or where it is not known. A Bernoulli's is the entropy of its grey pixels.
        """
        return None

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """What the likelihood says about a trained run, such as its scale. See `Model.diagnose`."""
        return ()

    def forward(self, raw: Tensor) -> Distribution:
        """See `distribution`; raw output of any precision is taken to float32 (or float64) first."""
        if raw.dim() < 3:
            raise UsageError(f"likelihood: raw must be [*, channels, H, W], got {list(raw.shape)}.")
        return self.distribution(raw.float() if raw.dtype.itemsize < 4 else raw)
