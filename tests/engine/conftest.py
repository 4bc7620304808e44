"""Small experiments that train in a fraction of a second, and a way to stop them at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
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


def left_to_another_process(request: pytest.FixtureRequest) -> bool:
    """Run a test that forks in a process of its own, where nothing was traced: what traces models can leave PyTorch unable
    to compute gradients in a fork. True in the process that has nothing left to do.
    """
    if os.environ.get("GENZOO_TEST_ALONE"):
        return False
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-p", "no:cacheprovider", request.node.nodeid]
    alone = subprocess.run(
        command, cwd=request.config.rootpath, env=os.environ | {"GENZOO_TEST_ALONE": "1"}, check=False,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert alone.returncode == 0, alone.stdout[-3000:]
    assert "1 passed" in alone.stdout
    return True


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
