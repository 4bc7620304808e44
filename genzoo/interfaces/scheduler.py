"""The interface of a scheduler: a pure function of training progress. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from genzoo.errors import UsageError
from genzoo.options import Options


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Args:
        epoch: The current epoch, counted from 1.
        step: Optimizer steps taken before this one, counted from 0 over the whole run.
        steps_per_epoch: Steps an epoch.
        epochs: Epochs in all.

    Raises:
        UsageError: If a count is negative or zero where it may not be.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    epochs: int

    def __post_init__(self) -> None:
        for name, least in (("epoch", 1), ("step", 0), ("steps_per_epoch", 1), ("epochs", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"progress: {name} must be at least {least}, got {getattr(self, name)}.")

    @property
    def epochs_done(self) -> float:
        """Epochs at the end of this step, fractional: (step + 1) / steps_per_epoch."""
        return (self.step + 1) / self.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    def at(self, unit: Literal["epoch", "step"]) -> float:
        """Time t in epochs: the epoch's number, or its fraction reached at the end of this step."""
        return float(self.epoch) if unit == "epoch" else self.epochs_done


class Scheduler(ABC):
    """A factor that the configured value of one quantity is multiplied by.

    β(t) = ``loss.beta`` · factor, lr(t) = ``--lr`` · factor; several schedulers on one quantity multiply.

    Subclass requirements:
        - `factor`, a pure function of progress, finite, clamped past the end of its range.
        - ``bounds`` (class attribute or property): least and greatest factor.
        - ``monotone``: ``"increasing"``, ``"decreasing"`` or None; ``period``: in epochs, or None.

    Args:
        options: The plugin's options.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    monotone: Literal["increasing", "decreasing"] | None = None
    default_slot: ClassVar[str] = "beta"

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def period(self) -> float | None:
        """Length of one period in epochs, for a schedule that repeats; None otherwise."""
        return None

    @abstractmethod
    def factor(self, progress: Progress) -> float:
        """The factor at this point of training."""

    def settled_after(self, progress: Progress) -> float | None:
        """Epochs after which the factor no longer changes, None where it always does; for figures and warnings."""
        return None
