"""Plugins that are wrong in what every kind must do; imports no torch."""

from __future__ import annotations

from pydantic import BaseModel

from genzoo.host import catalogue
from genzoo.interfaces.scheduler import Progress, Scheduler
from genzoo.types import Kind
from wrong_plugins.ledger import WRONG, Wrong, installed, wrong
from wrong_plugins.right import Ramp, RampWithLength

ODD = "wrong_plugins.odd_options:"


def not_a_class() -> None:
    """A function where a class is meant."""


WRONG.append(Wrong(installed(Ramp, "no-class", target="wrong_plugins.every_kind:not_a_class"), "resolves", alone=False))


@wrong("satisfies-interface", kind=Kind.SCHEDULER, says="factor")
class LacksItsMethod(Scheduler):
    """It defines nothing."""


class ForeignOptions(BaseModel):
    """Options of another framework."""


@wrong("options-derive", options="wrong_plugins.every_kind:ForeignOptions", alone=False)
class HasForeignOptions(Ramp):
    """Its options do not derive from genzoo's."""


@wrong("options-derive", options=ODD + "NotFrozen")
class HasLiquidOptions(RampWithLength):
    """Its options can be changed after they were checked."""


@wrong("constructible-from-defaults")
class CannotBeBuilt(Ramp):
    """It refuses its own defaults."""

    def __init__(self, options: object) -> None:
        raise ValueError("epochs must be given")


@wrong("documented", summary="")
class HasNoSummary(Ramp):
    """Its declaration has no summary."""


@wrong("identity-known", version="0")
class HasNoVersion(Ramp):
    """Its distribution has no version."""


@wrong("identity-known", api="9.0", says="9.0")
class FromTheFuture(Ramp):
    """It was written for another plugin API."""


WRONG.append(
    Wrong(
        installed(Ramp, (catalogue.names("scheduler") or ["linear-warmup"])[0]),
        "agrees-with-catalogue",
        says="wrong-plugins",
    )
)


@wrong("declaration-torch-free", module="wrong_plugins.at_import.torch_in_declaration")
class DeclaredWithTorch(Ramp):
    """Its declaration module imports torch."""


@wrong("declaration-import-fast", module="wrong_plugins.at_import.slow_declaration")
class DeclaredSlowly(Ramp):
    """Its declaration module takes 0.7 s."""


@wrong("options-torch-free", options="wrong_plugins.at_import.torch_in_options:Length")
class OptionsWithTorch(RampWithLength):
    """Its options module imports torch."""


_IMPORTS = {
    "reseeds_torch": ("ReseedsTorch", "torch's random state"),
    "reseeds_python": ("ReseedsPython", "python's random state"),
    "sets_dtype": ("SetsDtype", "dtype"),
    "sets_threads": ("SetsThreads", "thread count"),
    "sets_filter": ("SetsFilter", "warnings filter"),
    "sets_backend": ("SetsBackend", "backend"),
    "sets_style": ("SetsStyle", "settings"),
}
for _module, (_name, _says) in _IMPORTS.items():
    _target = f"wrong_plugins.at_import.{_module}:{_name}"
    WRONG.append(
        Wrong(
            installed(Ramp, _module.replace("_", "-"), target=_target),
            "import-leaves-globals",
            alone=False,
            says=_says,
            defect="global RNG reseeded, default dtype or backend changed at import",
        )
    )


@wrong("examples-run")
class ShowsWhatIsNotTrue(Ramp):
    """It ends at 1, not at 2.

    Example:
        >>> ShowsWhatIsNotTrue(None).factor(Progress(9, 80, 10, 9))
        2.0
    """


@wrong("spawn-picklable")
class HoldsALambda(Ramp):
    """It keeps a lambda."""

    def __init__(self, options: object) -> None:
        super().__init__(options)
        self.shape = lambda t: t


@wrong("prints-nothing")
class Chatters(Ramp):
    """It prints what it does."""

    def factor(self, progress: Progress) -> float:
        print("factor asked for")  # noqa: T201
        return super().factor(progress)


@wrong("options-described", options=ODD + "NoDescription")
class DescribesNothing(RampWithLength):
    """Its option has no description."""


@wrong(
    "options-bounded",
    options=ODD + "NoBound",
    also=("finite-float", "within-bounds", "clamps-past-its-end", "zero-length-works"),
)
class BoundsNothing(RampWithLength):
    """Its option takes any number."""


@wrong("options-forbid-unknown", options=ODD + "TakesAnything", alone=False)
class SwallowsOptions(RampWithLength):
    """It accepts options that do not exist."""


@wrong("options-round-trip", options=ODD + "GrowsWhenRead")
class ReadsOtherOptions(RampWithLength):
    """Its options are others when read back."""


@wrong("options-refuse-out-of-range", options=ODD + "Clamps")
class ClampsOptions(RampWithLength):
    """It makes what is out of range fit, in silence."""


@wrong("options-take-effect", options=ODD + "Unread", says="beta", defect="a beta (or any option) that changes nothing")
class IgnoresBeta(RampWithLength):
    """It has a beta that changes nothing."""


@wrong("options-take-effect", options=ODD + "SaysWithoutEffect", says="as declared")
class HidesAnEffect(RampWithLength):
    """It says that its option changes nothing, and it does."""
