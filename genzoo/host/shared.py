"""What all code of the process shares and a declaration could change: how each is read, and how it is put back."""

from __future__ import annotations

import gc
import locale
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from genzoo.host.contain import Contained

MISSING = object()

# Bound now, since a declaration may replace them.
_getcwd, _set_umask = os.getcwd, os.umask


class Shared(NamedTuple):
    """One thing that all code of the process shares, how it is read, and how it is put back."""

    words: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def shared() -> list[Shared]:
    """What is watched; of libraries what is random only where they are loaded."""
    found = [
        *(_list(name) for name in ("path", "meta_path", "path_hooks", "argv")),
        Shared("the environment", _environment, _put_back_environment),
        Shared("the working directory", _folder, os.chdir),
        Shared("the umask", _umask, os.umask),
        Shared("signal handlers", _handlers, _put_back_handlers),
        Shared("the warning filters", lambda: [*warnings.filters], _put_back_filters),
        Shared("logging", _logging, _put_back_logging),
        Shared("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda to: locale.setlocale(locale.LC_ALL, to)),
        Shared("the random state", random.getstate, random.setstate),
        Shared("the garbage collector", lambda: (gc.isenabled(), gc.get_threshold()), _put_back_collector),
        Shared("the trace function", sys.gettrace, sys.settrace),
        Shared("the profile function", sys.getprofile, sys.setprofile),
        Shared("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
        Shared("the limit of digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
        Shared("torch's defaults", _torch, _put_back_torch),
    ]
    if hasattr(signal, "setitimer"):
        found.append(Shared("the timer", _timer, _put_back_timer))
    if "torch" in sys.modules:
        found.append(Shared("torch's random state", _torch_random, _put_back_torch_random))
    if "numpy" in sys.modules:
        numpy = sys.modules["numpy"]
        found.append(Shared("numpy's error state", numpy.geterr, lambda before: numpy.seterr(**before)))
        found.append(Shared("numpy's random state", _numpy_random, _put_back_numpy_random))
    return found


def _list(name: str) -> Shared:
    """A list of the module sys, changed in place; another list in its place is seen among the module's names."""
    held: list[Any] = getattr(sys, name)

    def write(before: list[Any]) -> None:
        held[:] = before

    return Shared(f"sys.{name}", held.copy, write)


_getsignal: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


def read(item: Shared) -> Any:
    """What it is now; `MISSING` where a library is not what it seems."""
    try:
        return item.read()
    except Exception:
        return MISSING


def _environment() -> dict[Any, Any]:
    # Its inner dict, encoded, where there is one: decoding all of it for every plugin would be slow.
    return dict(getattr(os.environ, "_data", os.environ))


def _put_back_environment(before: dict[Any, Any]) -> None:
    decoded = {os.fsdecode(key): os.fsdecode(value) for key, value in before.items()}
    for name in os.environ.keys() - decoded.keys():
        del os.environ[name]
    os.environ.update(decoded)


def _folder() -> str | None:
    try:
        return _getcwd()
    except OSError:  # It was removed.
        return None


def _umask() -> int:
    mask = _set_umask(0o077)
    _set_umask(mask)
    return mask


_SIGNALS = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT",
        "SIGTERM",
        "SIGHUP",
        "SIGBREAK",
        "SIGPIPE",
        "SIGALRM",
        "SIGUSR1",
        "SIGUSR2",
        "SIGCHLD",
        "SIGQUIT",
        "SIGABRT",
    )
    if hasattr(signal, name)
)


def _handlers() -> list[Any]:
    handlers = [*map(_getsignal, _SIGNALS)]  # the one that makes no enumeration of each, which is slow
    if getattr(handlers[0], "__func__", None) is Contained.interrupt:
        handlers[0] = signal.default_int_handler
    return handlers


def _put_back_handlers(before: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, before, strict=True):
        if handler is not None and _getsignal(number) is not handler:
            signal.signal(number, handler)


def _timer() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _put_back_timer(before: bool) -> None:
    if not before:  # One that the caller set, and that was replaced, cannot be had again.
        signal.setitimer(signal.ITIMER_REAL, 0)


def _put_back_filters(before: list[Any]) -> None:
    with warnings.catch_warnings():  # so that Python forgets which warnings it has shown
        pass
    warnings.filters[:] = before  # pyright: ignore[reportIndexIssue]


def _logging() -> list[Any]:
    loggers = logging.root, logging.getLogger("genzoo")
    states = [(one.level, one.disabled, one.propagate, [*one.handlers], [*one.filters]) for one in loggers]
    return [logging.root.manager.disable, *states]


def _put_back_logging(before: list[Any]) -> None:
    logging.disable(before[0])
    for logger, state in zip((logging.root, logging.getLogger("genzoo")), before[1:], strict=True):
        logger.setLevel(state[0])
        logger.disabled, logger.propagate = state[1], state[2]
        logger.handlers[:], logger.filters[:] = state[3], state[4]


def _put_back_collector(before: tuple[bool, tuple[int, int, int]]) -> None:
    (gc.enable if before[0] else gc.disable)()
    gc.set_threshold(*before[1])


def _torch() -> tuple[str, str, bool, bool]:
    """torch's defaults; those that it is imported with where it is not yet."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "float32", "cpu", True, False
    dtype, device = str(torch.get_default_dtype()).rpartition(".")[2], str(torch.get_default_device())
    return dtype, device, torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()


def _put_back_torch(before: tuple[str, str, bool, bool]) -> None:
    torch = sys.modules["torch"]
    changed = [one != other for one, other in zip(before, _torch(), strict=True)]
    if changed[0]:
        torch.set_default_dtype(getattr(torch, before[0]))
    if changed[1]:
        torch.set_default_device(before[1])
    if changed[2]:
        torch.set_grad_enabled(before[2])
    if changed[3]:
        torch.use_deterministic_algorithms(before[3])


def _torch_random() -> list[int]:
    return sys.modules["torch"].get_rng_state().tolist()


def _put_back_torch_random(before: list[int]) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.tensor(before, dtype=torch.uint8, device="cpu"))


def _numpy_random() -> tuple[Any, ...]:
    name, keys, *rest = sys.modules["numpy"].random.get_state()
    return name, keys.tobytes(), *rest


def _put_back_numpy_random(before: tuple[Any, ...]) -> None:
    numpy = sys.modules["numpy"]
    name, keys, *rest = before
    numpy.random.set_state((name, numpy.frombuffer(keys, dtype=numpy.uint32), *rest))
