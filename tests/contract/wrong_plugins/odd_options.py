"""Wrong options; imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, field_validator

from genzoo.options import Options


class NotFrozen(Options):
    """Options that can be changed after they were checked."""

    model_config = ConfigDict(frozen=False)
    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")


class NoDescription(Options):
    """An option that nobody explains."""

    epochs: float = Field(3, ge=0, le=1000)


class NoBound(Options):
    """An option that takes any number."""

    epochs: float = Field(3, description="Length of the ramp, in epochs.")


class TakesAnything(Options):
    """Options that swallow what they do not know."""

    model_config = ConfigDict(extra="ignore")
    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")


class GrowsWhenRead(Options):
    """An option that is another one when it is read back."""

    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")

    @field_validator("epochs", mode="after")
    @classmethod
    def one_more(cls, value: float) -> float:
        return value + 1


class Clamps(Options):
    """An option that makes what is out of range fit."""

    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")

    @field_validator("epochs", mode="before")
    @classmethod
    def clamp(cls, value: Any) -> Any:
        return min(1000.0, max(0.0, float(value)))


class Unread(Options):
    """Two options, one of which nobody reads."""

    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")
    beta: float = Field(1, ge=0, le=1000, description="Weight of the rate.")


class SaysWithoutEffect(Options):
    """An option that says it changes nothing, and does."""

    without_effect: ClassVar[dict[str, str]] = {"epochs": "it is only a hint"}
    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")
