"""Reported numbers are computed in float32: TensorFloat-32 and autocast are off meanwhile, and as they were after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import backends, nn

from genzoo.compose.build import build
from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Loader
from genzoo.engine.evaluate import evaluate
from genzoo.host.plugin_host import host
from genzoo.runs.load import load_run, make_view, splits
from genzoo.training.draw import draw, measure
from genzoo.training.start import start
from genzoo.types import Context

from .conftest import resolved


def flags() -> dict[str, Any]:
    return {
        "products": backends.cuda.matmul.fp32_precision,
        "convolutions": backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "recurrences": backends.cudnn.rnn.fp32_precision,  # type: ignore[attr-defined]
        "products on the CPU": backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        "convolutions on the CPU": backends.mkldnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "autocast": torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"),
    }


EXACT = {"ieee", "none", False}


def by_default() -> None:
    """Torch's own defaults convolve in TensorFloat-32."""
    assert flags()["convolutions"] == "tf32"


def by_the_older_flags() -> None:
    torch.set_float32_matmul_precision("medium")
    backends.cudnn.allow_tf32 = True


def by_the_newer_flags() -> None:
    backends.fp32_precision = "tf32"  # type: ignore[attr-defined]


def by_a_mixture() -> None:
    backends.cuda.matmul.fp32_precision = "tf32"


def on_the_cpu_alone() -> None:
    backends.mkldnn.conv.fp32_precision = "bf16"  # type: ignore[attr-defined]


@pytest.fixture(params=[by_default, by_the_older_flags, by_the_newer_flags, by_a_mixture, on_the_cpu_alone])
def fast(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Torch told to multiply less exactly, in each of its ways; gives its flags then."""
    before = flags()
    set_fast: Callable[[], None] = request.param
    try:
        set_fast()
        yield flags()
    finally:
        backends.fp32_precision = "none"  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision("highest")
        for place in (backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv):  # type: ignore[attr-defined]
            place.fp32_precision = "none"
        backends.cudnn.allow_tf32 = True
        assert flags() == before


class Noting(nn.Module):
    """Notes the flags as its forward pass sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def forward(self, *_: Any, **__: Any) -> Any:
        self.seen.append(flags())


def noted(module: nn.Module) -> list[dict[str, Any]]:
    """Flags seen by each forward pass of a module from now on."""
    noting = Noting()
    module.register_forward_pre_hook(lambda *_: noting())
    return noting.seen


def test_an_evaluation_sees_true_float32_and_leaves_the_flags_as_they_were(fast: dict[str, Any]) -> None:
    experiment = build(resolved())
    seen = noted(experiment.model)
    loader = Loader(experiment.dataset, experiment.dataset.split("test").head(5), "cpu")
    with torch.autocast("cpu", torch.bfloat16):
        evaluate(experiment.model, experiment.loss, loader, Context(), seed=0, batch_size=2)
        assert torch.is_autocast_enabled("cpu")
    assert len(seen) == 3
    assert not [each for each in seen if not all(value in EXACT for value in each.values())]
    assert flags() == fast


def test_networks_evaluated_in_another_precision_are_estimated_from_in_true_float32(fast: dict[str, Any]) -> None:
    experiment = build(resolved())
    networks, estimates = noted(experiment.model), noted(experiment.loss)
    loader = Loader(experiment.dataset, experiment.dataset.split("test").head(5), "cpu")
    evaluate(
        experiment.model,
        experiment.loss,
        loader,
        Context(),
        seed=0,
        batch_size=2,
        arithmetic=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    assert [each["autocast"] for each in networks] == [True] * 3
    assert len(estimates) == 3
    assert not [each for each in estimates if not all(value in EXACT for value in each.values())]
    assert flags() == fast


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_run_reports_at_its_end_is_evaluated_in_float32_and_the_curve_in_its_precision(
    tmp_path: Path, precision: str
) -> None:
    train = {"precision": precision, "epochs": 3, "holdout": 12, "limit": 60}
    run = start(resolved(train=train), host(), out=tmp_path)
    rows = run.folder.rows()
    assert [row["test_precision"] for row in rows] == [precision, precision, "fp32"]
    loaded = load_run(run.folder, host())
    experiment = loaded.experiment
    loader = Loader(experiment.dataset, loaded.view().splits["test"], "cpu")
    found = {
        each: evaluate(
            experiment.model,
            experiment.loss,
            loader,
            Context(rows[-1]["quantities"], 48),
            seed=0,
            batch_size=500,
            arithmetic=lambda each=each: torch.autocast("cpu", torch.bfloat16, enabled=each == "bf16"),
        )["distortion"]
        for each in ("fp32", "bf16")
    }
    assert rows[-1]["test"]["distortion"] == found["fp32"] != found["bf16"]


def test_metrics_and_figures_see_true_float32(tmp_path: Any, fast: dict[str, Any]) -> None:
    pictures = {"reconstructions": {"name": "reconstructions"}}
    experiment = build(resolved(metrics={"elbo": {"name": "elbo"}}, visualizers=pictures))
    seen = noted(experiment.model)
    view = make_view(experiment, splits(experiment.dataset, experiment.plan.train), None)
    assert "values" in measure(experiment.metrics, view)["elbo"]
    measured = len(seen)
    assert measured
    noting = noted(next(module for module in experiment.model.modules() if isinstance(module, nn.Linear)))
    assert "files" in draw(experiment.visualizers, view, tmp_path)["reconstructions"]
    assert noting
    inexact = [each for each in [*seen, *noting] if not all(value in EXACT for value in each.values())]
    assert not inexact
    assert flags() == fast


def test_the_flags_are_put_back_after_an_error(fast: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="raised"), full_float32():
        raise ValueError("raised")
    assert flags() == fast


def test_a_plugin_may_read_and_set_the_older_flags_meanwhile() -> None:
    with full_float32():
        assert backends.cudnn.allow_tf32 is False
        assert backends.cuda.matmul.allow_tf32 is False
        with backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            pass
    assert backends.cudnn.allow_tf32 is True
