"""The process while declarations of plugins are imported: what one of them changes is found, told and put back.

Every command imports every declaration, so one that nobody asked for must cost no more than a warning. Watched is what all
code shares: descriptors, signal handlers, the environment, the import system, limits, random states, and the functions of
genzoo and of the modules it stands on. Code that ends the process, or never returns, is not seen from within; `genzoo
doctor` tries each declaration in a process of its own.

Importing this module imports neither torch nor pydantic.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType, TracebackType
from typing import Any

from genzoo.host.shared import MISSING, read, shared

STRAY: list[threading.Thread] = []
"""Threads that declarations left running; one that is no daemon would keep the process from ending."""

_WATCHED = frozenset(
    (
        *("sys", "os", "io", "json", "time", "signal", "logging", "warnings", "threading", "importlib", "pathlib"),
        *("shutil", "tempfile", "subprocess", "contextlib", "functools", "random", "re", "traceback"),
        *("click", "pluggy", "pydantic", "numpy", "torch", "genzoo"),
    )
)
"""Packages whose modules, where loaded, get back a function or class that a declaration replaces."""

_NEEDED_NEXT = frozenset({"sys", "os", "genzoo.declare"})

_VALUES = (int, float, str, bytes, tuple, list, dict, set, type(None))
"""Types of what a module may change by itself, such as a cache; watched in genzoo, `sys` and `os` alone."""


class Guard:
    """The process as it is, entered while declarations are imported; `undo`, after each, puts back what it changed.

    Meanwhile what is printed goes to stderr, and nothing can be read from stdin.

    Example:
        >>> with Guard() as guard:
        ...     sys.setswitchinterval(1)
        ...     found = guard.undo("odd")
        >>> found
        ['changed the switch interval']
    """

    def __init__(self) -> None:
        self._descriptors = _Descriptors()

    def __enter__(self) -> Guard:
        self._stdout = sys.stdout
        self._register = atexit.register
        self._at_exit: list[tuple[str, Any]] = []
        sys.stdout = sys.stderr
        atexit.register = self._note_register
        self._descriptors.divert()
        self._limit = sys.getrecursionlimit()
        self._shared: list[list[Any]] = [[item, read(item)] for item in shared()]
        self._builtins = dict(vars(builtins))
        self._modules = dict(sys.modules)
        # What the next declaration stands on is looked at after each, the rest once.
        self._core: list[_Names] = []
        self._others: list[_Names] = []
        for name, module in self._modules.items():
            if type(module) is ModuleType and name.partition(".")[0] in _WATCHED:
                names = [_names_of(owner) for owner in (module, *_classes(module))]
                (self._core if name in _NEEDED_NEXT else self._others).extend(names)
        self._threads = set(threading.enumerate())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._descriptors.put_back()
        atexit.register = self._register
        sys.stdout = self._stdout

    def undo(self, package: str) -> list[str]:
        """Put back what has changed since the guard was entered.

        Args:
            package: The declaration's top-level package, whose functions must not wait for the end of the process.

        Returns:
            What was changed, in words: ``changed the recursion limit``. A thread goes on; nothing can stop it.
        """
        # First what the code below stands on: frames to call it in, then the names that it calls.
        limit = _getrecursionlimit()
        _setrecursionlimit(self._limit)
        now = builtins.__dict__
        patched = now != self._builtins
        now.update(self._builtins)
        found = ["changed the recursion limit"] if limit != self._limit else []
        if patched:
            found.append("changed builtins")
            for name in [name for name in now if name not in self._builtins]:
                del now[name]
        changed, libraries = self._modules_undone(package)
        found += [*changed, *(what for what, _ in _replaced_undone(self._core))]
        for watch in self._shared:
            item, before = watch
            with suppress(Exception):
                value = item.read()
                if before is MISSING or value == before:
                    continue
                if item.words == "the warning filters" and libraries:
                    watch[1] = value  # Many a library adds some for its own sake.
                    continue
                found.append(f"changed {item.words}")
                item.write(before)
        found += self._descriptors.undone()
        found += self._at_exit_undone(package)
        for thread in set(threading.enumerate()) - self._threads:
            found.append(f"left the thread {thread.name!r} running")
            self._threads.add(thread)
            STRAY.append(thread)
        return found

    def finish(self) -> list[tuple[str, str]]:
        """Put back the functions and classes that any declaration has replaced in genzoo and in what it stands on.

        Returns:
            For each what was replaced, in words, and the package that what replaced it is from.
        """
        return _replaced_undone(self._others)

    def _modules_undone(self, package: str) -> tuple[list[str], bool]:
        """What was changed, and whether other packages than the declaration's own and Python's were loaded."""
        now, before = sys.modules, self._modules
        changed: list[str] = []
        if not before.items() <= now.items():
            changed = [name for name, module in before.items() if now.get(name, MISSING) is not module]
            now.update({name: before[name] for name in changed})
        new = now.keys() - before.keys()
        for name in [name for name in new if now[name] is None]:  # pyright: ignore[reportUnnecessaryComparison] an import of it would fail
            del now[name]
            new.remove(name)
            changed.append(name)
        before.update({name: now[name] for name in new})
        libraries = bool({name.partition(".")[0] for name in new} - {package} - sys.stdlib_module_names)
        return [f"changed sys.modules ({', '.join(changed[:3])})"] if changed else [], libraries

    def _at_exit_undone(self, package: str) -> list[str]:
        own = [function for caller, function in self._at_exit if caller.partition(".")[0] == package]
        self._at_exit.clear()
        for function in own:
            atexit.unregister(function)
        return ["asked for a call at exit"] if own else []

    def _note_register(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")  # pyright: ignore[reportPrivateUsage]
        self._at_exit.append((str(caller), function))
        return self._register(function, *arguments, **named)


class _Descriptors:
    """The descriptors 0, 1 and 2. While diverted, what is printed by any means goes to 2, and 0 holds nothing."""

    def __init__(self) -> None:
        self._saved: dict[int, tuple[int, tuple[Any, ...]]] = {}
        self._diverted: dict[int, tuple[Any, ...] | None] = {}

    def divert(self) -> None:
        for number in (0, 1, 2):
            identity = _identity(number)
            if identity is not None:
                with suppress(OSError):
                    self._saved[number] = os.dup(number), identity
        # Another thread may be printing its result, or reading what it was sent.
        if threading.active_count() == 1:
            _flush()
            with suppress(OSError):
                nothing = os.open(os.devnull, os.O_RDONLY)
                if 0 in self._saved:
                    os.dup2(nothing, 0)
                if 1 in self._saved and 2 in self._saved:
                    os.dup2(2, 1)
                os.close(nothing)
        self._diverted = {number: _identity(number) for number in self._saved}

    def undone(self) -> list[str]:
        found: list[str] = []
        for number, identity in self._diverted.items():
            if _identity(number) != identity:
                found.append(f"changed descriptor {number}")
                self._put_back(number)
                self._diverted[number] = _identity(number)
        return found

    def put_back(self) -> None:
        _flush()
        for number, (saved, identity) in self._saved.items():
            if _identity(number) != identity:
                self._put_back(number)
            with suppress(OSError):
                os.close(saved)
        self._saved.clear()

    def _put_back(self, number: int) -> None:
        saved, identity = self._saved[number]
        with suppress(OSError):
            os.dup2(saved, number)
            _set_blocking(number, identity[-1])


def end_beside_threads(code: int) -> None:
    """Ends the process with ``code`` where a thread that a declaration left running would keep it from ending."""
    if any(thread.is_alive() and not thread.daemon for thread in STRAY):
        with suppress(Exception):
            atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


# Bound now, since a declaration may replace them.
_getrecursionlimit, _setrecursionlimit = sys.getrecursionlimit, sys.setrecursionlimit
_fstat = os.fstat
# Windows has them since Python 3.12.
_is_blocking: Callable[[int], bool] = getattr(os, "get_blocking", lambda number: True)
_set_blocking: Callable[[int, bool], object] = getattr(os, "set_blocking", lambda number, blocking: None)


_Names = list[Any]
"""A module or class, what its names were, and the values alone, which compare faster."""


def _names_of(owner: Any) -> _Names:
    return [owner, dict(vars(owner)), [*vars(owner).values()]]


def _replaced_undone(watched: list[_Names]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for names in watched:
        owner, before, values = names
        now = vars(owner)
        with suppress(Exception):
            if [*now.values()] == values:
                continue
        place = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__name__}"
        everything = owner in (sys, os) or place.startswith("genzoo")
        for name, value in before.items():
            other = now.get(name, MISSING)
            if other is value or not (everything or not isinstance(value, _VALUES)):
                continue
            with suppress(Exception):
                setattr(owner, name, value)
                found.append((f"replaced {place}.{name}", str(getattr(other, "__module__", "")).partition(".")[0]))
        names[1:] = dict(vars(owner)), [*vars(owner).values()]
    return found


def _classes(module: ModuleType) -> Iterator[type]:
    """Classes that a module of genzoo defines: a declaration must not change what a later one is made of."""
    if module.__name__.partition(".")[0] == "genzoo":
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield value


def _identity(number: int) -> tuple[Any, ...] | None:
    """What a descriptor refers to; None where it is closed."""
    try:
        found = _fstat(number)
        return found.st_dev, found.st_ino, found.st_mode, _is_blocking(number)
    except OSError:
        return None


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with suppress(Exception):
                stream.flush()
