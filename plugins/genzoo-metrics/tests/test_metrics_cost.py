"""What sampling costs: evaluations that are known, seconds that follow the clock, parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import genzoo
from genzoo_metrics.sampling_cost import counted

QUICK = {"data": "digits", "epochs": 1, "limit": 48, "progress": False}
COST = ("sampling-cost", {"images": 6, "batch": 4})
FIELD = ("unet", {"width": 8})


def test_calls_are_counted_of_modules_with_weights_and_hooks_are_taken_away() -> None:
    shared, once = nn.Linear(3, 3), nn.Conv1d(3, 1, 1)
    model = nn.Sequential(shared, nn.ReLU(), nn.Sequential(once))
    with counted(model) as calls:
        for _ in range(4):
            shared(torch.zeros(2, 3))
        model[2](torch.zeros(1, 3, 5))
    assert dict(calls) == {"0": 4, "2.0": 1}
    shared(torch.zeros(2, 3))
    assert calls["0"] == 4
    assert not shared._forward_hooks


@pytest.mark.parametrize(
    ("model", "parts", "evaluations"),
    [
        ("gan", {"network": "mlp"}, 1),
        ("vae", {"network": "mlp"}, 1),
        ("flow-matching", {"prior": ("flow-matching", {"steps": 7, "epochs": 1}), "field": FIELD}, 7),
        ("ddpm", {"prior": ("diffusion", {"steps": 5, "epochs": 1}), "field": FIELD}, 5),
    ],
)
def test_evaluations_of_models_that_are_known(
    model: str, parts: dict[str, object], evaluations: int, tmp_path: Path
) -> None:
    run = genzoo.run(model, metrics=[COST], out=tmp_path, **parts, **QUICK)
    kept = run.folder.record()["metrics"]["sampling-cost"]
    values = kept["values"]
    assert values["sampling-cost"] == evaluations
    assert values["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert values["seconds"] > 0
    assert "thread" in kept["protocol"]
