"""The step's arithmetic is the one chosen, whatever the caller's."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from genzoo.engine import settings as settings_of_engine
from genzoo.engine.settings import Settings, choose
from genzoo.recipe import TrainOptions


@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_step_runs_in_the_precision_chosen_under_any_callers_autocast(precision: str, *, ambient: bool) -> None:
    settings = Settings("cpu", precision, channels_last=False, compile=False, threads=1)
    layer = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=ambient):
        with settings.autocast():
            found = layer(torch.zeros(1, 2)).dtype
        assert torch.is_autocast_enabled("cpu") is ambient
    assert found is (torch.float32 if precision == "fp32" else torch.bfloat16)


def flags() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.conv.fp32_precision == "tf32",  # type: ignore[attr-defined]
        torch.backends.cuda.cudnn_sdp_enabled() or torch.backends.cuda.mem_efficient_sdp_enabled(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize(
    ("device", "precision", "within"),
    [
        ("cpu", "fp32", None),
        ("cuda:0", "fp32", (True, True, False, False, False, False, ":4096:8")),
        ("cuda:0", "bf16", (True, True, False, False, True, False, ":4096:8")),
    ],
)
def test_training_on_cuda_computes_the_same_bits_each_time(
    device: str, precision: str, within: tuple[object, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = flags()
    settings = Settings(device, precision, channels_last=False, compile=False, threads=1)
    with settings.fast_arithmetic():
        assert flags() == (within or before)
    assert flags() == before


def test_what_the_caller_asked_of_determinism_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    torch.set_deterministic_debug_mode("error")
    try:
        with Settings("cuda:0", "bf16", channels_last=False, compile=False, threads=1).fast_arithmetic():
            assert flags()[:2] == (True, False), "a stricter caller is not made laxer"
            assert flags()[-1] == ":16:8"
        assert flags()[:2] == (True, False)
        assert flags()[-1] == ":16:8"
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.parametrize(
    ("asked", "compiled", "device", "graphs"),
    [
        (True, False, "cuda:0", True),
        (False, False, "cuda:0", False),
        (True, True, "cuda:0", False),
        (True, False, "cpu", False),
    ],
)
def test_steps_are_replayed_as_graphs_on_cuda_unless_that_is_turned_off(
    asked: bool, compiled: bool, device: str, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_of_engine, "_device", lambda wanted: device)
    train = TrainOptions(cuda_graphs=asked, compile=compiled, precision="fp32")
    assert choose(train, torch.nn.Linear(1, 1)).cuda_graphs is graphs


@pytest.mark.parametrize(
    ("device", "precision", "last"),
    [("cpu", "fp32", True), ("cpu", "bf16", True), ("cuda:0", "bf16", True), ("cuda:0", "fp32", False)],
)
def test_convolutions_are_laid_out_as_the_device_computes_them_fastest(
    device: str, precision: Any, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_of_engine, "_device", lambda wanted: device)
    assert choose(TrainOptions(precision=precision), torch.nn.Conv2d(1, 1, 3)).channels_last is last
    assert choose(TrainOptions(precision=precision), torch.nn.Linear(1, 1)).channels_last is False
