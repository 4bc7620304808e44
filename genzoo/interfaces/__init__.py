"""The interfaces, one file each; a plugin subclasses the one of its kind, or what that derives from. Names resolve
lazily, so that importing a scheduler's interface imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.interfaces.dataset import Dataset
    from genzoo.interfaces.drawing import Animation, Drawing, Page, Section
    from genzoo.interfaces.generator import Generator, LatentGenerator
    from genzoo.interfaces.likelihood import Likelihood
    from genzoo.interfaces.loss import Loss
    from genzoo.interfaces.measurement import Measurement, PerImage
    from genzoo.interfaces.metric import Metric
    from genzoo.interfaces.model import Model, Parts
    from genzoo.interfaces.network import Network
    from genzoo.interfaces.objective import Objective, Player, Terms
    from genzoo.interfaces.prior import Prior
    from genzoo.interfaces.scheduler import Progress, Scheduler
    from genzoo.interfaces.view import RunView
    from genzoo.interfaces.visualizer import Visualizer

__all__ = [
    "Animation",
    "Dataset",
    "Drawing",
    "Generator",
    "LatentGenerator",
    "Likelihood",
    "Loss",
    "Measurement",
    "Metric",
    "Model",
    "Network",
    "Objective",
    "Page",
    "Parts",
    "PerImage",
    "Player",
    "Prior",
    "Progress",
    "RunView",
    "Scheduler",
    "Section",
    "Terms",
    "Visualizer",
]

_MODULES = {
    "Animation": "drawing",
    "LatentGenerator": "generator",
    "Page": "drawing",
    "Section": "drawing",
    "Parts": "generator",
    "PerImage": "measurement",
    "Player": "objective",
    "Progress": "scheduler",
    "RunView": "view",
    "Terms": "objective",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, name.lower())}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
