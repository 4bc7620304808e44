"""Wrong schedulers."""

from __future__ import annotations

import math

from genzoo.interfaces.scheduler import Progress, Scheduler
from wrong_plugins.ledger import right, wrong
from wrong_plugins.right import DecayByStep, Ramp, RampWithLength

LENGTH = "wrong_plugins.right:Length"


@wrong("finite-float", says="int")
class ReturnsAnInteger(Ramp):
    """It returns an int at the end of the ramp."""

    def factor(self, progress: Progress) -> float:
        value = super().factor(progress)
        return 1 if value >= 1 else value


@wrong("within-bounds", also=("clamps-past-its-end", "reaches-its-end"))
class Overshoots(Ramp):
    """It goes past the bound that it declares."""

    def factor(self, progress: Progress) -> float:
        return 1.2 * super().factor(progress)


@wrong("bounds-in-order", also=("within-bounds", "clamps-past-its-end", "reaches-its-end"))
class BoundsTurned(Ramp):
    """It declares its bounds in the wrong order."""

    bounds = (1.0, 0.0)


@wrong("monotone-as-declared")
class Dips(Ramp):
    """It dips on its way up, and says that it does not."""

    def factor(self, progress: Progress) -> float:
        t = progress.epochs_done
        return min(1.0, max(0.0, t / 3 + 0.2 * math.sin(4 * t))) if t < 3 else 1.0


@wrong("reaches-its-end")
class EndsShort(Ramp):
    """It ends at a half of what it declares."""

    def factor(self, progress: Progress) -> float:
        return 0.5 * super().factor(progress)


@wrong("period-as-declared")
class WrongPeriod(Ramp):
    """It repeats after three epochs and says two."""

    monotone = None

    @property
    def period(self) -> float | None:
        return 2.0

    def factor(self, progress: Progress) -> float:
        return 0.5 - 0.5 * math.cos(2 * math.pi * progress.epochs_done / 3)

    def settled_after(self, progress: Progress) -> float | None:
        return None


@wrong("pure", also=("same-seed-same-result", "reaches-its-end", "settles-as-declared"))
class CountsItsCalls(Ramp):
    """It counts its calls in place of reading the progress."""

    calls = 0

    def factor(self, progress: Progress) -> float:
        CountsItsCalls.calls += 1
        return min(1.0, CountsItsCalls.calls / 1e4)


@wrong("clamps-past-its-end", also=("reaches-its-end",))
class NoClamp(Ramp):
    """It is right up to the last epoch and goes on past it."""

    def factor(self, progress: Progress) -> float:
        return progress.epochs_done / progress.epochs

    monotone = "increasing"

    def settled_after(self, progress: Progress) -> float | None:
        return None


@wrong("settles-as-declared")
class SaysItSettles(Ramp):
    """It says that it is constant after one epoch, and is not."""

    def settled_after(self, progress: Progress) -> float | None:
        return 1.0


@wrong("zero-length-works", also=("options-take-effect",), options=LENGTH)
class DividesByZero(RampWithLength):
    """It divides by a length of zero."""

    def factor(self, progress: Progress) -> float:
        return min(1.0, progress.epochs_done / self.options.epochs)


@wrong("independent-of-steps-per-epoch", also=("settles-as-declared", "reaches-its-end"))
class CountsSteps(Ramp):
    """It takes a thousand batches whatever an epoch has, so that the batch size changes the schedule."""

    def factor(self, progress: Progress) -> float:
        return min(1.0, (progress.step + 1) / 1000)

    def settled_after(self, progress: Progress) -> float | None:
        return None


@wrong("slot-named")
class NoSlot(Ramp):
    """Its default slot is no name."""

    default_slot = "the beta"


@wrong("settles-no-later")
class SettlesTooLate(Ramp):
    """It settles after three epochs and says twelve."""

    def settled_after(self, progress: Progress) -> float | None:
        return 12.0


class Between(Scheduler):
    """From start to end in four epochs."""

    def __init__(self, options) -> None:
        super().__init__(options)
        self.bounds = (min(options.start, options.end), max(options.start, options.end))
        self.monotone = "increasing" if options.start <= options.end else "decreasing"

    def factor(self, progress: Progress) -> float:
        done = min(1.0, progress.epochs_done / 4)
        return self.between(done)

    def between(self, done: float) -> float:
        start, end = float(self.options.start), float(self.options.end)
        return end if done >= 1 else start + (end - start) * done

    def settled_after(self, progress: Progress) -> float | None:
        return 4.0


@wrong("ends-as-named", options="wrong_plugins.right:Ends", also=("monotone-as-declared", "reaches-its-end"))
class SwapsItsEnds(Between):
    """It begins at end and ends at start."""

    def between(self, done: float) -> float:
        return super().between(1 - done) if done < 1 else float(self.options.start)


@right(options="wrong_plugins.right:Window")
class WithinAWindow(Scheduler):
    """From 0 to 1 between two points of time, which are called start and end."""

    monotone = "increasing"

    def factor(self, progress: Progress) -> float:
        start, end = float(self.options.start), float(self.options.end)
        if progress.epochs_done >= end:
            return 1.0
        return max(0.0, (progress.epochs_done - start) / (end - start)) if end > start else 0.0

    def settled_after(self, progress: Progress) -> float | None:
        return float(self.options.end)


@right(options="wrong_plugins.right:Ends")
class FromTo(Between):
    """A line between two options."""


@right(options=LENGTH)
class RampOfAnyLength(RampWithLength):
    """A ramp with an option."""


@right()
class Wave(Scheduler):
    """A schedule that is not monotone: it swings with a period of four epochs, for ever."""

    @property
    def period(self) -> float | None:
        return 4.0

    def factor(self, progress: Progress) -> float:
        return 0.5 - 0.5 * math.cos(2 * math.pi * progress.epochs_done / 4)


right(summary="Falls by a tenth with each 100 steps")(DecayByStep)


@right()
class Sawtooth(Scheduler):
    """A rise from 0 to 1 every two epochs."""

    @property
    def period(self) -> float | None:
        return 2.0

    def time(self, progress: Progress) -> float:
        return progress.step / progress.steps_per_epoch

    def factor(self, progress: Progress) -> float:
        return self.time(progress) / 2.0 % 1.0


@wrong("independent-of-steps-per-epoch")
class SawtoothOfUpdates(Sawtooth):
    """Its period of two epochs lasts two of what an epoch has many of."""

    def time(self, progress: Progress) -> float:
        return float(progress.step)


@right()
class ByEpoch(Scheduler):
    """Multiplied by 0.9 after each epoch."""

    monotone = "decreasing"

    def factor(self, progress: Progress) -> float:
        return 0.9 ** (progress.epoch - 1)


@wrong("independent-of-steps-per-epoch")
class TooOftenMultiplied(ByEpoch):
    """It is multiplied far more often than after each epoch."""

    def factor(self, progress: Progress) -> float:
        return 0.9**progress.step


@right()
class Smooth(Scheduler):
    """A smooth rise over two epochs."""

    monotone = "increasing"
    first = 1

    def factor(self, progress: Progress) -> float:
        within = (progress.step % progress.steps_per_epoch + 1) / progress.steps_per_epoch
        u = min(1.0, (progress.epoch - self.first + within) / 2.0)
        return u * u * (3 - 2 * u)

    def settled_after(self, progress: Progress) -> float | None:
        return 2.0


@wrong("settles-no-later")
class StartsAnEpochIn(Smooth):
    """Epochs count from 1, and it takes them to count from 0."""

    first = 0
