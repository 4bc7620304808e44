"""Every scheduler against hand-computed values, its declared properties, and torch's OneCycleLR."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from genzoo.errors import UsageError
from genzoo.interfaces import Progress, Scheduler
from genzoo_schedulers.plugin import genzoo_schedulers

NAMES = [component.name for component in genzoo_schedulers()]


def make(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    component = next(component for component in genzoo_schedulers() if component.name == name)

    def resolve(target: str) -> Any:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)

    return resolve(component.target)(resolve(component.options).model_validate(dict(options or {})))


def at(step: int, steps_per_epoch: int = 10, epochs: int = 30) -> Progress:
    return Progress(1 + step // steps_per_epoch, step, steps_per_epoch, epochs)


def epoch(number: int, epochs: int = 30) -> Progress:
    return at(10 * (number - 1), epochs=epochs)


BY_EPOCH = [
    # scheduler        options                                    factor at the start of epoch ... of 30
    ("constant", {}, {1: 1, 30: 1}),
    ("constant", {"factor": 0.25}, {1: 0.25, 30: 0.25}),
    ("linear-warmup", {}, {1: 0.1, 2: 0.2, 5: 0.5, 9: 0.9, 10: 1, 11: 1, 30: 1}),
    ("linear-warmup", {"epochs": 0}, {1: 1, 2: 1}),
    ("linear-warmup", {"epochs": 2.5}, {1: 0.4, 2: 0.8, 3: 1}),
    ("linear-warmup", {"epochs": 4, "start": 0.5, "end": 2.5}, {1: 1, 2: 1.5, 3: 2, 4: 2.5, 5: 2.5}),
    ("linear-warmup", {"epochs": 4, "start": 1, "end": 0}, {1: 0.75, 2: 0.5, 4: 0, 9: 0}),
    # (sigmoid(2) - sigmoid(-4)) / (sigmoid(4) - sigmoid(-4)) = 0.862811 / 0.964028
    ("sigmoid", {"epochs": 8, "steepness": 8}, {4: 0.5, 6: 0.8950065, 2: 0.1049935, 8: 1, 30: 1}),
    ("sigmoid", {"epochs": 0}, {1: 1}),
    ("cosine", {"unit": "epoch"}, {1: 1, 6: (1 + math.sqrt(3) / 2) / 2, 11: 0.75, 16: 0.5, 21: 0.25, 31: 0}),
    ("cosine", {"unit": "epoch", "epochs": 4, "start": 0, "end": 1}, {1: 0, 3: 0.5, 5: 1, 30: 1}),
    ("cosine", {"epochs": 0}, {1: 0}),
    # cycles of 7.5 epochs, rising for 3.75
    ("cyclical", {"unit": "epoch"}, {1: 0, 2: 4 / 15, 4: 0.8, 5: 1, 8: 1, 9: 2 / 15, 16: 0, 30: 1, 31: 1}),
    ("cyclical", {"unit": "epoch", "epochs": 4, "rise": 1}, {1: 0, 2: 0.25, 3: 0.5, 4: 0.75, 5: 0, 29: 0}),
    ("cyclical", {"rise": 0}, {1: 1, 2: 1}),
    # the peak at epoch 0.1 * 30 = 3, the end at epoch 30
    (
        "one-cycle",
        {"unit": "epoch", "warmup": 0.1, "shape": "linear", "start_divisor": 5, "final_divisor": 2},
        {1: 0.2, 2: 0.6, 3: 1, 12: 0.7, 30: 0.1, 31: 0.1},
    ),
    ("one-cycle", {"peak": 2, "warmup": 0}, {1: 2, 31: 2 / 25e4}),
]


@pytest.mark.parametrize(("name", "options", "expected"), BY_EPOCH)
def test_value_at_epoch(name: str, options: dict[str, Any], expected: dict[int, float]) -> None:
    scheduler = make(name, options)
    got = {number: scheduler.factor(epoch(number)) for number in expected}
    assert got == pytest.approx(expected, abs=1e-6)


BY_STEP = [
    # scheduler        options            factor at step ... of 300, ten an epoch, counted from 0
    ("linear-warmup", {"unit": "step"}, {0: 0.01, 9: 0.1, 49: 0.5, 98: 0.99, 99: 1, 100: 1, 299: 1}),
    ("sigmoid", {"unit": "step"}, {49: 0.5, 99: 1, 299: 1}),
    ("cosine", {}, {0: 1, 100: 0.75, 150: 0.5, 300: 0}),
    ("cyclical", {}, {0: 0, 15: 0.4, 30: 0.8, 37: 37 / 37.5, 38: 1, 74: 1, 75: 0, 150: 0, 225: 0, 299: 1, 300: 1}),
    ("cyclical", {"epochs": 0.7, "rise": 1}, {0: 0, 1: 1 / 7, 6: 6 / 7, 7: 0, 8: 1 / 7, 70: 0, 294: 0}),
    ("one-cycle", {}, {0: 0.04, 89: 1, 194: 0.500002, 299: 4e-6, 300: 4e-6}),
]


@pytest.mark.parametrize(("name", "options", "expected"), BY_STEP)
def test_value_at_step(name: str, options: dict[str, Any], expected: dict[int, float]) -> None:
    scheduler = make(name, options)
    got = {step: scheduler.factor(at(step)) for step in expected}
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", ["cosine", "linear"])
@pytest.mark.parametrize(("warmup", "start", "final", "peak"), [(0.3, 25, 1e4, 1.0), (0.1, 10, 100, 2.0)])
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step\\(\\)`")
def test_one_cycle_agrees_with_torch(shape: str, warmup: float, start: float, final: float, peak: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=1e-3)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1e-3 * peak,
        total_steps=120,
        pct_start=warmup,
        div_factor=start,
        final_div_factor=final,
        anneal_strategy="cos" if shape == "cosine" else "linear",
    )
    ours = make(
        "one-cycle",
        {"warmup": warmup, "start_divisor": start, "final_divisor": final, "peak": peak, "shape": shape},
    )
    for step in range(120):
        assert 1e-3 * ours.factor(at(step, 10, 12)) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        if step < 119:
            reference.step()


CASES = [(name, {}) for name in NAMES] + [(name, options) for name, options, _ in BY_EPOCH + BY_STEP if options]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(7, 9), (1, 1), (1, 40), (13, 2)])
def test_declared_properties_hold(name: str, options: dict[str, Any], steps_per_epoch: int, epochs: int) -> None:
    scheduler = make(name, options)
    steps = range(steps_per_epoch * epochs * 2 + 60 * steps_per_epoch)
    factors = [scheduler.factor(at(step, steps_per_epoch, epochs)) for step in steps]
    least, greatest = scheduler.bounds
    assert all(math.isfinite(factor) and least <= factor <= greatest for factor in factors)
    if scheduler.monotone is not None:
        sign = 1 if scheduler.monotone == "increasing" else -1
        assert all(sign * (after - before) >= -1e-12 for before, after in pairwise(factors))
    if scheduler.period is not None and (scheduler.period * steps_per_epoch).is_integer():
        shift = int(scheduler.period * steps_per_epoch)
        if getattr(scheduler, "unit", "step") == "step" or shift % steps_per_epoch == 0:
            assert factors[shift:] == pytest.approx(factors[:-shift], abs=1e-9)
    settled = scheduler.settled_after(at(0, steps_per_epoch, epochs))
    if settled is not None:
        rest = factors[math.ceil(settled - 1e-9) * steps_per_epoch :]
        assert len(set(rest)) == 1


def test_settling_time_is_not_too_late() -> None:
    warmup = make("linear-warmup", {"unit": "step"})
    assert warmup.settled_after(at(0)) == 10
    assert warmup.factor(at(98)) < warmup.factor(at(99)) == warmup.factor(at(1000))
    cyclical = make("cyclical")
    assert cyclical.settled_after(at(0)) == pytest.approx(26.25)
    assert cyclical.factor(at(262)) < cyclical.factor(at(263)) == cyclical.factor(at(1000)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_out_of_range_option_is_refused(name: str) -> None:
    field = {"constant": "factor", "cyclical": "rise", "one-cycle": "warmup"}.get(name, "epochs")
    with pytest.raises(ValueError, match=field):
        make(name, {field: -1})


def test_negative_progress_is_refused() -> None:
    with pytest.raises(UsageError, match="step must be at least 0, got -1"):
        Progress(1, -1, 10, 10)


def test_readme_shows_the_factors() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    epochs = [1, 5, 10, 16, 30]
    rows = re.findall(r"^\| `([a-z-]+)` \|((?: [\d.]+ \|){5})$", readme, re.MULTILINE)
    assert [name for name, _ in rows] == ["linear-warmup", "sigmoid", "cosine", "cyclical"]
    for name, cells in rows:
        shown = [float(cell) for cell in cells.split("|")[:5]]
        assert shown == pytest.approx([make(name).factor(epoch(number)) for number in epochs], abs=5e-5)


def test_schedulers_import_no_torch() -> None:
    modules = ", ".join(component.target.partition(":")[0] for component in genzoo_schedulers())
    code = f"import sys, genzoo_schedulers.plugin, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
