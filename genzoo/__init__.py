"""A plugin-based zoo of generative models for PyTorch.

Importing this package imports neither torch nor click; names resolve when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.api import Run, load, run

__version__ = "0.1.0"

__all__ = ["Run", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    if name in {"Run", "load", "run"}:
        return getattr(import_module("genzoo.api"), name)
    raise AttributeError(f"module 'genzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
