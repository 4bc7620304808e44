"""Every wrong plugin and every correct but unusual one."""

from __future__ import annotations

from importlib import import_module

from wrong_plugins.ledger import RIGHT, WRONG

for _module in (
    "every_kind",
    "randomness",
    "schedulers",
    "torch_scheduler",
    "models",
    "losses",
    "priors",
    "likelihoods",
    "networks",
    "generators",
    "datasets",
    "metrics",
    "visualizers",
    "values",
    "unusual",
    "second",
):
    import_module(f"wrong_plugins.{_module}")

__all__ = ["RIGHT", "WRONG"]
