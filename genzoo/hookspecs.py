"""Every hook of genzoo on one page. A plugin implements those it needs in its declaration module with `hookimpl`.

    # genzoo_mine/plugin.py, named in pyproject.toml under [project.entry-points."genzoo.plugins"]
    from genzoo.declare import Component, hookimpl

    @hookimpl
    def genzoo_schedulers():
        return [Component("scheduler", "mine", "genzoo_mine.mine:Mine", api="1.0")]

Importing a declaration module must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import pluggy

from genzoo.declare import PROJECT, Component, Resource
from genzoo.types import Kind

_F = TypeVar("_F", bound=Callable[..., Any])


class _Marker(Protocol):
    def __call__(self, function: _F, /) -> _F: ...


hookspec = cast("_Marker", pluggy.HookspecMarker(PROJECT))

COMPONENT_HOOKS: Mapping[Kind, str] = {
    Kind.MODEL: "genzoo_models",
    Kind.LOSS: "genzoo_losses",
    Kind.PRIOR: "genzoo_priors",
    Kind.SCHEDULER: "genzoo_schedulers",
    Kind.VISUALIZER: "genzoo_visualizers",
    Kind.LIKELIHOOD: "genzoo_likelihoods",
    Kind.NETWORK: "genzoo_networks",
    Kind.DATASET: "genzoo_datasets",
    Kind.METRIC: "genzoo_metrics",
}
"""The hook that declares the components of each kind."""

RESOURCE_HOOK = "genzoo_resources"

LIFECYCLE_HOOKS = ("genzoo_run_start", "genzoo_epoch_end", "genzoo_run_end")
"""The hooks that a tracker implements."""


@hookspec
def genzoo_models() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare models: `genzoo.interfaces.Model`."""


@hookspec
def genzoo_losses() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare losses: `genzoo.interfaces.Loss`."""


@hookspec
def genzoo_priors() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare priors: `genzoo.interfaces.Prior`."""


@hookspec
def genzoo_schedulers() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare schedulers: `genzoo.interfaces.Scheduler`."""


@hookspec
def genzoo_visualizers() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare visualizers: `genzoo.interfaces.Visualizer`."""


@hookspec
def genzoo_likelihoods() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare likelihoods: `genzoo.interfaces.Likelihood`."""


@hookspec
def genzoo_networks() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare networks: `genzoo.interfaces.Network`."""


@hookspec
def genzoo_datasets() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare datasets: `genzoo.interfaces.Dataset`."""


@hookspec
def genzoo_metrics() -> Sequence[Component]:  # pyright: ignore[reportReturnType]
    """Declare metrics: `genzoo.interfaces.Metric`."""


@hookspec
def genzoo_resources() -> Sequence[Resource]:  # pyright: ignore[reportReturnType]
    """Declare recipes, reproductions and trained runs shipped as package data."""


@hookspec
def genzoo_run_start(folder: Path, record: Mapping[str, Any]) -> None:
    """A run starts or resumes.

    Args:
        folder: The run folder.
        record: What run.json holds: schema, status, argv, seed, components with distribution, version and options.
    """


@hookspec
def genzoo_epoch_end(folder: Path, row: Mapping[str, Any]) -> None:
    """An epoch ended and was evaluated.

    Args:
        folder: The run folder.
        row: The line just written to metrics.jsonl.
    """


@hookspec
def genzoo_run_end(folder: Path, status: str, figures: Sequence[Path]) -> None:
    """A run ended.

    Args:
        folder: The run folder.
        status: ``finished``, ``failed`` or ``interrupted``.
        figures: The figures that were written.
    """
