"""The base of every plugin's options: a frozen pydantic model that forbids unknown fields. Imports no torch."""

from __future__ import annotations

import os
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from genzoo.bounded import user_path


class Options(BaseModel):
    """Options of one plugin.

    Every field has a default, a description and, where it is a number, bounds; the command line makes a typed
    flag of each and recipes store the same model.

    Attributes:
        tiny: Values that make the plugin fit test-sized inputs and run in well under a second.
        acts_with: Option → the values of other options under which it changes something, where it does not always.
        without_effect: Option → why it changes no result: it names a place, say, or how much memory to use.
        places: Options of a dataset that say where its files lie. A run may find its images elsewhere when it is resumed,
            so these options are no part of what it is; the images' content is.

    Example:
        >>> from pydantic import Field
        >>> class WarmUp(Options):
        ...     epochs: float = Field(10, ge=0, description="Length of the warm-up, in epochs.")
        >>> WarmUp().epochs
        10.0
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        # An option may be called `model_...` or `schema`; pydantic's own names are no reason to refuse it.
        protected_namespaces=(),
    )

    tiny: ClassVar[dict[str, Any]] = {}
    acts_with: ClassVar[dict[str, dict[str, Any]]] = {}
    without_effect: ClassVar[dict[str, str]] = {}
    places: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse an option that would take the place of what this class says of options."""
        if taken := sorted(name for name in cls.model_fields if name in vars(Options)):
            raise TypeError(
                f"{cls.__qualname__}: an option must have a name of its own, got {', '.join(taken)}, which `Options` uses "
                "itself. Call it otherwise."
            )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: Any) -> Any:
        """Text of the command line: ``32,64`` for a sequence, ``none`` for what may be absent; and values of Python callers,
        such as paths, numpy's numbers and tensors of one number.
        """
        if not isinstance(values, dict):
            return values
        read: dict[str, Any] = {}
        for name, value in values.items():
            field = cls.model_fields.get(name)
            plain = _plain(value)
            if field and isinstance(plain, bool) and not _takes_truth(field.annotation):
                raise ValueError(f"{name} must be a number or a word, got {plain}.")
            read[name] = _read(value, field.annotation) if field and isinstance(value, str) else plain
        return read

    def anchored(self) -> Self:
        """The same options with absolute paths in `places`, so that they name the same files from every folder.

        Raises:
            UsageError: If one is no path that the system takes.
        """
        given = {name: getattr(self, name) for name in self.places}
        absolute = {name: type(value)(user_path(value, f"data: {name}")) for name, value in given.items() if value}
        return self.model_copy(update=absolute)

    def for_run(self, epochs: int) -> Self:
        """The options as a run of so many epochs uses them: what follows the length of the run gets its value here.

        A run is planned with the result and keeps it in config.toml, so that one that is resumed with more epochs keeps
        its past. Most options follow nothing, and stay as they are.

        Args:
            epochs: Epochs of the run, as it was started.
        """
        return self

    @classmethod
    def example(cls, folder: Path) -> dict[str, Any]:
        """Values that need files, with those files written into an empty ``folder``; for data that the user brings.

        The contract kit calls it where a plugin cannot work from its defaults.
        """
        return {}


def _plain(value: Any) -> Any:
    """A value as JSON has it, where it is a path, or an array's or a tensor's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    listed = getattr(value, "tolist", None)
    return value if listed is None else listed()


def _takes_truth(annotation: Any) -> bool:
    """Whether a field may be true or false; pydantic would take these as 1 and 0."""
    choices = typing.get_args(annotation) or (annotation,)
    return any(choice in (bool, Any) or isinstance(choice, bool) for choice in choices)


def _read(text: str, annotation: Any) -> Any:
    choices = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    if type(None) in choices and text.lower() == "none":
        return None
    kinds = {typing.get_origin(choice) or choice for choice in choices or (annotation,)}
    if str not in kinds and kinds & {tuple, list}:
        return [part.strip() for part in text.split(",") if part.strip()] if text.lower() != "none" else []
    return text


class NoOptions(Options):
    """For a plugin without options."""
