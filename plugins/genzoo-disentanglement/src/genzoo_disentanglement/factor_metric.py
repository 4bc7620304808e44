"""The base of the metrics here: encode, then score with a pure function."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.randomness import derive
from genzoo.types import Capability
from genzoo_disentanglement.options import FactorOptions
from genzoo_disentanglement.representation import Representation, represent


class FactorMetric(Metric):
    """A score of codes against ground-truth factors, in [0, 1], higher better.

    Subclass requirements:
        - `score`, from a `Representation`, and `described`, how that is done; ``name``, of its random stream.
        - ``units`` of the numbers that are no scores.
    """

    requires = frozenset({Capability.REAL_LATENT})
    needs_factors = True
    reads = frozenset({"train", "test"})
    direction: ClassVar[Literal["higher", "lower"] | None] = "higher"
    bounds = (0.0, 1.0)
    name: ClassVar[str]
    units: ClassVar[Mapping[str, str]] = {}
    options: FactorOptions

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        random = np.random.default_rng(derive(run.seed, self.name))
        representation = represent(run, self.options.images)
        return Measurement(
            self.score(representation, random),
            units=self.units,
            protocol=self.described(len(representation), representation.origin),
        )

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self.described(self.options.images, f"{self.options.images} encoded images")

    @abstractmethod
    def described(self, images: int, origin: str) -> str:
        """How so many images are scored, and which they are, in one line."""

    @abstractmethod
    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """Numbers by name."""
