"""The interface of a metric: numbers of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from genzoo.interfaces.generator import Generator
from genzoo.interfaces.model import Model
from genzoo.options import Options
from genzoo.types import ImageSpec

if TYPE_CHECKING:
    from genzoo.interfaces.view import RunView


class Metric(ABC):
    """Numbers of a run, with the protocol that they were measured by.

    Subclass requirements:
        - `evaluate`.
        - ``direction``: ``"higher"`` or ``"lower"`` is better, or None; ``bounds``: least and greatest value or None.
        - ``unit``: such as ``"nats"``, of every number that a `Measurement` gives no other unit.
        - ``requires``, ``needs_labels``, ``needs_factors`` as a visualizer's.
        - Optionally promises, which the contract kit then holds it to: ``reads`` and ``estimates``.

    Args:
        options: The plugin's options.
    """

    on: ClassVar[type[Generator]] = Model
    requires: ClassVar[frozenset[str]] = frozenset()
    forbids: ClassVar[frozenset[str]] = frozenset()
    exact_density: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    needs_factors: ClassVar[bool] = False
    direction: ClassVar[Literal["higher", "lower"] | None] = None
    bounds: ClassVar[tuple[float | None, float | None]] = (None, None)
    unit: ClassVar[str] = ""
    reads: frozenset[str] | None = None
    """Splits that it reads, from the view or the dataset; the view refuses others. None: not stated, and the contract kit
    expects the test split alone."""
    estimates: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Number → ``"distortion"``, ``"rate"``, ``"elbo"`` or ``"nll"``, in nats per image over the test split; numbers of
    these names need no entry."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """Numbers by name; the empty name is the metric's own. Called under ``no_grad`` and the view's seed, in float32.

        A `Measurement` also carries units of single numbers, what was done, warnings, and values per image.
        """

    @property
    def protocol(self) -> str:
        """How it is measured, one line, stored beside the numbers; `Measurement.protocol` says what was done instead."""
        return ""

    def check(self, model: Model, image: ImageSpec) -> None:
        """Refuse, before training, what will not work, by raising a `UsageError`."""
