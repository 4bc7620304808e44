"""Every error that genzoo raises on purpose, each with the exit code of the command line.

An error reads as one sentence, a cause, and a next step:
``<operation>: <argument> must be <rule>, got <value>. <Next step>.``
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from genzoo.text import one_line


class GenzooError(Exception):
    """Base of every error raised on purpose; ``exit_code`` is what the command line returns.

    Args:
        message: One sentence that says what failed and why.
        hint: What to do next, a sentence of its own; empty when there is nothing to add.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return one_line(f"{self.message} {self.hint}".strip())


class AbruptExit(Exception):
    """A plugin tried to end the process."""


_OUT_OF_MEMORY = (
    "not enough memory",
    "out of memory",
    "DefaultCPUAllocator: can't allocate",
    "Cannot allocate memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def describe(error: BaseException) -> str:
    """One line that says what went wrong: ``ValueError: message``, cut where it gets long, whatever the error's text is."""
    try:
        text = one_line(str(error).strip())
    except BaseException:
        text = "its text cannot be shown"
    text = text if len(text) <= 300 else f"{text[:299]}…"
    if isinstance(error, AbruptExit):
        return text
    name = one_line(type(error).__name__)
    return f"{name}: {text}" if text else name


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or on the computer: torch and the system say it in words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = describe(error)
    return isinstance(error, (RuntimeError, OSError)) and any(words in text for words in _OUT_OF_MEMORY)


class UsageError(GenzooError):
    """A request that cannot be carried out as written: an option, a name, a recipe, a combination."""

    exit_code = 2


class IncompatibleError(UsageError):
    """Two plugins that do not fit each other; the message names both and the capability that is missing."""


class PluginError(GenzooError):
    """A plugin that is missing, broken or written for another plugin API."""

    exit_code = 3


class MissingPluginError(PluginError):
    """Plugins that the catalogue knows and that are not installed.

    Args:
        message: Which, in one sentence.
        sources: What pip installs them from.
    """

    def __init__(self, message: str, sources: Sequence[str]) -> None:
        it = "it" if len(sources) == 1 else "them"
        super().__init__(message, f"Install {it}: pip install {' '.join(sources)}")
        self.sources = tuple(sources)


class CorruptError(GenzooError):
    """Data or a checkpoint that fails its checksum, its format or its declared shapes."""

    exit_code = 4


class DivergedError(GenzooError):
    """A loss, gradient or scheduled value that is not finite."""

    exit_code = 5


class RunExistsError(GenzooError):
    """A run folder that exists already or that another process holds."""

    exit_code = 6


class StorageError(GenzooError):
    """The disk: no space, read-only, an input/output error."""

    exit_code = 7


class WorkerLost(GenzooError):
    """Another process of the run ended, so that this one cannot go on."""


class Interrupted(GenzooError):
    """A signal stopped the work after a checkpoint was saved.

    Args:
        signum: The signal's number; the exit code is 128 + signum.
        message: What was saved and how to go on.
    """

    def __init__(self, signum: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signum = signum
        self.exit_code = 128 + signum
