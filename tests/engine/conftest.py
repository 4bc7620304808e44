"""Small experiments that train in a fraction of a second, and a way to stop them at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.compose.plan import Plan, plan
from genzoo.engine.signals import Signals
from genzoo.host.plugin_host import host
from genzoo.recipe import Recipe, parse_recipe
from genzoo.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(**changes: Any) -> Recipe:
    """A VAE on scikit-learn's digits: 64 images, 2 epochs of 4 steps, a warm-up and a learning rate that move."""
    content: dict[str, Any] = {
        "model": {"name": "vae"},
        "dataset": {"name": "digits", "options": {"shift": 1}},
        "network": {"name": "mlp", "options": {"hidden": [16]}},
        "schedulers": {
            "beta": [{"name": "linear-warmup", "options": {"epochs": 2, "unit": "step"}}],
            "lr": [{"name": "cosine"}],
        },
        "train": {"epochs": 2, "limit": 60, "batch_size": 16, "precision": "fp32", "device": "cpu"},
    }
    content["train"] |= changes.pop("train", {})
    return parse_recipe({**content, **changes}, "test")


def resolved(**changes: Any) -> Plan:
    return plan(recipe(**changes), host())


def same_rows(a: RunFolder, b: RunFolder) -> bool:
    """Whether two runs wrote the same rows, timing fields aside."""
    timing = {"seconds", "images_per_second"}

    def rows(folder: RunFolder) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if k not in timing} for row in folder.rows()]

    return rows(a) == rows(b)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    """Every tensor of the newest checkpoint, model and optimizer."""
    from genzoo.engine.checkpoint import find
    from genzoo.engine.tensor_files import read_tensors

    path = find(folder.checkpoints)
    assert path is not None
    return {
        f"{file.stem}/{name}": tensor
        for file in sorted(path.glob("*.safetensors"))
        for name, tensor in read_tensors(file).items()
    }


def same_weights(a: RunFolder, b: RunFolder) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def only_run(out: Path) -> RunFolder:
    (found,) = out.glob("*/*/run.json")
    return RunFolder(found.parent)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Make the n-th look for a signal find one (None: none of them)."""
    calls = {"left": None}
    original = Signals.poll

    def poll(self: Signals) -> None:
        if calls["left"] is not None:
            calls["left"] -= 1
            if calls["left"] < 0:
                self.received = 2
        original(self)

    monkeypatch.setattr(Signals, "poll", poll)

    def arm(n: int | None) -> None:
        calls["left"] = n

    return arm
