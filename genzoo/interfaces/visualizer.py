"""The interface of a visualizer: figures of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from genzoo.interfaces.drawing import Drawing
from genzoo.interfaces.generator import Generator
from genzoo.interfaces.model import Model
from genzoo.options import Options
from genzoo.types import ImageSpec

if TYPE_CHECKING:
    from genzoo.interfaces.view import RunView


class Visualizer(ABC):
    """Figures of a run; core names the files, writes them and closes the figures.

    Subclass requirements:
        - `draw`. Make figures with `genzoo.parts.figures`, never through pyplot's global state.
        - ``requires``: capabilities that the model must have; ``needs_labels`` if the data must have labels.
        - Optionally ``reads``, the splits that it reads.
        - Optionally `check`, to refuse what capabilities cannot say.

    Args:
        options: The plugin's options.
    """

    on: ClassVar[type[Generator]] = Model
    requires: ClassVar[frozenset[str]] = frozenset()
    needs_labels: ClassVar[bool] = False
    needs_factors: ClassVar[bool] = False
    needs_history: ClassVar[bool] = False
    reads: frozenset[str] | None = None
    """Splits that it reads, from the view or the dataset; the view refuses others. None: not stated, and the contract kit
    expects a word on the figure where it reads another than the test split."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def draw(self, run: RunView) -> Mapping[str, Drawing]:
        """Figures by name; the empty name is the visualizer's own. Called under ``no_grad`` and the view's seed.

        A `Page` or an `Animation` may stand for a figure.
        """

    def check(self, model: Model, image: ImageSpec) -> None:
        """Refuse, before training, what will not work, by raising a `UsageError` (an optional package, a class index)."""
