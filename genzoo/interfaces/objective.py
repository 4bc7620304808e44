"""The interface of what training optimises: an objective and the players that optimise it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from genzoo.findings import Evidence, Finding
from genzoo.interfaces.generator import Generator, Parts
from genzoo.interfaces.model import Model
from genzoo.options import Options
from genzoo.types import Batch, Context, Report

MODEL = "model"
"""Name of the player that an objective has unless it names its own."""


@dataclass(frozen=True)
class Player:
    """Parameters with an optimizer of their own.

    Args:
        name: Unique among the objective's players.
        parameters: What it optimises; those that take no gradient are left out.
        every: It takes part in the steps whose number is a multiple of this.
        lr: The quantity that is its learning rate: ``"lr"``, the run's, or one of the objective's ``quantities``.
        betas: Adam's, where they differ from torch's.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    every: int = 1
    lr: str = "lr"
    betas: tuple[float, float] | None = None


@dataclass(frozen=True)
class Terms:
    """What one step of one player computed.

    Args:
        objective: ``[]``, what the player minimises; mean over the batch.
        terms: name → ``[]``, weighted; they sum to the objective.
        report: name → ``[]`` or ``[L]``, means over the batch that rows are made of; see `Objective.summary`.
        output: Passed to `Generator.after_step`.
    """

    objective: Tensor
    terms: Mapping[str, Tensor]
    report: Mapping[str, Tensor]
    output: Any = None


class Objective(nn.Module, ABC):
    """What training minimises, by one player or several.

    Subclass requirements:
        - ``on``: the interface that the model must have, `Model` unless told otherwise.
        - ``reports``, and ``headline``: the report that chooses the best checkpoint, with its better direction. None
          refuses hold-out, patience and the best checkpoint.
        - `step`.
        - Optionally `prepare`, `players`, `evaluate`, `summary` and `after_step`.
        - ``requires`` and ``forbids``: capabilities that the model must and must not have; ``exact_density = True`` where
          densities of prior and likelihood enter importance weights, so that bounds and estimates are refused.
        - ``batch_coupled = True`` if the objective of one image depends on the others of its batch.

    Args:
        options: The plugin's options.
    """

    on: ClassVar[type[Generator]] = Model
    reports: ClassVar[tuple[Report, ...]] = ()
    headline: ClassVar[tuple[str, Literal["higher", "lower"]] | None] = None
    requires: frozenset[str] = frozenset()
    forbids: frozenset[str] = frozenset()
    exact_density: ClassVar[bool] = False
    batch_coupled: bool = False

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    @property
    def quantities(self) -> Mapping[str, float]:
        """Configured values of the quantities that a scheduler may drive; the run multiplies them by its factors."""
        return {}

    def quantity(self, context: Context, name: str) -> float | Tensor:
        """The scheduled value of a quantity now, or its configured value where nothing drives it."""
        return context.values.get(name, self.quantities[name])

    def prepare(self, model: Generator, parts: Parts) -> None:
        """See the finished model and what it was made of once, before training, for example to make a critic."""

    def players(self, model: Generator) -> Sequence[Player]:
        """Who takes part in a step, in order. One player with all parameters unless told otherwise."""
        return (Player(MODEL, [*model.parameters(), *self.parameters()]),)

    @abstractmethod
    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """What a player minimises on a batch, with gradients.

        Args:
            model: In training mode; an instance of ``on``.
            batch: Images ``[B, C, H, W]``, with labels ``[B]`` where the data has them.
            context: Scheduled quantities, and the precision of networks: run those within ``context.autocast()`` and
                compute the rest in float32.
            player: Whose turn it is.
        """

    def evaluate(self, model: Any, batch: Batch, context: Context) -> Terms:
        """What is reported of a batch, in evaluation mode and without gradients."""
        return self.step(model, batch, context, self.players(model)[0].name)

    def summary(self, means: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of a row, from the means over images of what `Terms.report` has."""
        return dict(means)

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """What the objective says about a trained run. See `Model.diagnose`."""
        return ()

    def after_step(self, report: Mapping[str, Tensor]) -> None:
        """After each step, with the batch means of what its players reported; for weights that follow a measured value."""
