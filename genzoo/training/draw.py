"""Figures and metrics of a run, each in isolation: one that raises costs its own result and nothing else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from genzoo.engine.arithmetic import full_float32
from genzoo.engine.signals import StopRequested
from genzoo.errors import GenzooError, Interrupted, describe
from genzoo.interfaces.measurement import Measurement
from genzoo.interfaces.metric import Metric
from genzoo.interfaces.view import RunView
from genzoo.interfaces.visualizer import Visualizer
from genzoo.parts.drawings import save_drawing
from genzoo.process import own_state
from genzoo.randomness import derive, seeded

_log = logging.getLogger("genzoo.run")


def draw(
    visualizers: Mapping[str, Visualizer],
    view: RunView,
    folder: Path,
    *,
    formats: tuple[str, ...] = ("png",),
) -> dict[str, Any]:
    """Draw every visualizer's figures into ``folder``.

    Args:
        visualizers: By the key that names their files.
        view: The run.
        folder: Where the files go; it exists.
        formats: Of figures, ``png``, ``svg``, or both.

    Returns:
        key → ``{"files": [name, …]}`` or ``{"error": "…"}``, for run.json.
    """
    results: dict[str, Any] = {}
    for key, visualizer in visualizers.items():
        if visualizer.needs_history and not view.history:
            results[key] = {"error": "the run has no finished epoch yet"}
            continue
        try:
            files: list[str] = []
            with at_rest(view, f"figure:{key}"):
                drawings = visualizer.draw(view.limited_to(visualizer.reads))
            for name, drawing in drawings.items():
                stem = f"{key}-{name}" if name else key
                files += [path.name for path in save_drawing(drawing, folder / stem, formats)]
            results[key] = {"files": files}
        except (KeyboardInterrupt, StopRequested, Interrupted):
            raise
        except (Exception, SystemExit) as error:
            results[key] = {"error": _told(f"figure {key}", error)}
    return results


def measure(metrics: Mapping[str, Metric], view: RunView) -> dict[str, Any]:
    """Every metric's numbers, each in isolation. See `draw`.

    Returns:
        key → ``{"values": …, "units": …, "protocol": …, "unit": …}``, with ``warnings`` and ``per_image`` (a `PerImage`,
        which `genzoo.runs.per_image.keep` writes) where there are some; or ``{"error": "…"}``.
    """
    results: dict[str, Any] = {}
    for key, metric in metrics.items():
        try:
            with at_rest(view, f"metric:{key}"):
                found = metric.evaluate(view.limited_to(metric.reads))
            results[key] = _result(key, metric, found)
        except (KeyboardInterrupt, StopRequested, Interrupted):
            raise
        except (Exception, SystemExit) as error:
            results[key] = {"error": _told(f"metric {key}", error)}
    return results


def _result(key: str, metric: Metric, found: Mapping[str, float]) -> dict[str, Any]:
    more = found if isinstance(found, Measurement) else Measurement(found)
    result: dict[str, Any] = {
        "values": {name or key: float(value) for name, value in more.items()},
        "units": {name or key: more.units.get(name, metric.unit) for name in more},
        "protocol": more.protocol or metric.protocol,
        "unit": metric.unit,
    }
    if more.warnings:
        result["warnings"] = list(more.warnings)
    if more.per_image is not None:
        result["per_image"] = more.per_image
    return result


@contextmanager
def at_rest(view: RunView, stream: str) -> Generator[None]:
    """The model in eval mode, gradients off, true float32, the random state seeded by the view's seed and ``stream``;
    all put back.

    What a plugin prints meanwhile goes to stderr.
    """
    training = view.model.training
    view.model.eval()
    try:
        printed, noise = redirect_stdout(sys.stderr), seeded(derive(view.seed, *stream.split(":")))
        with own_state(), torch.no_grad(), full_float32(), printed, noise:
            yield
    finally:
        view.model.train(training)


def _told(what: str, error: BaseException) -> str:
    message = str(error) if isinstance(error, GenzooError) else describe(error)
    _log.warning("%s failed: %s", what, message)
    _log.debug("%s failed", what, exc_info=error)
    return message
