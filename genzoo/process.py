"""The process that genzoo is called in: what is global there neither breaks genzoo nor is changed by it.

A script or notebook may have set torch's default dtype or device, switched gradients off, asked for deterministic
algorithms, made warnings errors, or named a matplotlib backend that is not installed. `own_state` is the one place where
genzoo sets these as it needs them and puts them back. Importing this module imports no torch.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    import torch

STRICT_WARNINGS = False
"""Whether a warning that the caller made an error stays one within genzoo; `genzoo.testing.pytest_plugin` sets it."""

_BACKEND = "MPLBACKEND"


@contextmanager
def own_state(*, keep_random: bool = True) -> Generator[None]:
    """A block under torch's own defaults: float32, on the CPU unless told otherwise, gradients on, no autocast.

    Deterministic algorithms stay on where the caller asked for them; an operation that has none warns instead of raising.
    Warnings that the caller made errors are shown instead. Everything is put back, also what a plugin changes meanwhile.

    Args:
        keep_random: Also put back the random state of torch, numpy and `random`.

    Example:
        >>> import torch
        >>> with torch.no_grad(), own_state():
        ...     torch.is_grad_enabled()
        True
    """
    import numpy as np
    import torch

    tell_of_home_once()
    with ExitStack() as stack:
        stack.enter_context(without_window())
        stack.enter_context(_shown_warnings())
        if keep_random:
            stack.enter_context(_kept_random_state())
        stack.callback(_put_back_flags, *_flags())
        torch.set_default_dtype(torch.float32)
        if torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(True, warn_only=True)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(True))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        yield


def _flags() -> tuple[torch.dtype, int, bool, bool]:
    """The default dtype, the number of threads, and whether deterministic algorithms are wanted, or warned of."""
    import torch

    wanted, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.get_default_dtype(), torch.get_num_threads(), wanted, warned


def _put_back_flags(dtype: torch.dtype, threads: int, wanted: bool, warned: bool) -> None:
    import torch

    torch.set_default_dtype(dtype)
    _, threads_now, *now = _flags()
    if threads_now != threads:
        torch.set_num_threads(threads)
    if now != [wanted, warned]:
        torch.use_deterministic_algorithms(wanted, warn_only=warned)


@contextmanager
def without_window() -> Generator[None]:
    """A block in which matplotlib can be imported whatever ``MPLBACKEND`` names; genzoo draws without a window.

    Of a matplotlib that was imported in it, the backend is the one that the variable names, if matplotlib knows it.
    """
    wanted = os.environ.get(_BACKEND)
    if wanted is None or "matplotlib" in sys.modules:
        yield
        return
    os.environ[_BACKEND] = "agg"
    try:
        yield
    finally:
        os.environ[_BACKEND] = wanted
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is not None and "matplotlib.pyplot" not in sys.modules:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = wanted


def tell_of_home_once() -> None:
    """Let one line pass of the several that matplotlib logs where it cannot write its folder below the user's home."""
    import logging  # here, since `genzoo --help` needs none

    for name in ("matplotlib", "matplotlib.font_manager"):
        logging.getLogger(name).addFilter(_one_of_home)


_told_of_home: list[str] = []


def _one_of_home(record: logging.LogRecord) -> bool:
    text = str(record.msg)
    if "temporary cache directory" in text:
        _told_of_home.append(text)
        return len(_told_of_home) == 1
    # That line tells the same as these, and a folder that is always new has no font cache.
    if "mkdir -p failed" in text or "is not a writable directory" in text:
        return False
    return not (_told_of_home and "building the font cache" in text)


@contextmanager
def _shown_warnings() -> Generator[None]:
    """A block in which a warning is shown where the caller made it an error, and the caller's filters are put back."""
    with warnings.catch_warnings():
        if not STRICT_WARNINGS and any(entry[0] == "error" for entry in warnings.filters):
            kept = [("default" if action == "error" else action, *rest) for action, *rest in warnings.filters]
            warnings.resetwarnings()
            warnings.filters.extend(kept)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        yield


@contextmanager
def _kept_random_state() -> Generator[None]:
    """A block after which every random state is what it was before."""
    import numpy as np
    import torch

    python, numbers = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


def processor() -> str:
    """What the system calls its processor, for example the model's name; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.machine()
