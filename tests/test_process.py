"""What is global in the caller's process neither breaks genzoo nor is changed by it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genzoo
from genzoo import process
from genzoo.host import trial
from genzoo.process import own_state
from genzoo.testing import prober

SMALL: dict[str, Any] = {
    "data": "digits",
    "network": ("mlp", {"hidden": [8]}),
    "epochs": 1,
    "limit": 16,
    "batch_size": 8,
    "device": "cpu",
    "precision": "fp32",
    "progress": False,
}

Caller = Callable[[], AbstractContextManager[Any]]


@contextmanager
def default_dtype() -> Generator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def half_dtype() -> Generator[None]:
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Generator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Generator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def together(*callers: Caller) -> Caller:
    """Several at once."""

    @contextmanager
    def entered() -> Generator[None]:
        with ExitStack() as stack:
            for caller in callers:
                stack.enter_context(caller())
            yield

    return entered


CALLERS: dict[str, Caller] = {
    "float64, deterministic algorithms, numpy raises": together(
        default_dtype, deterministic, lambda: np.errstate(all="raise")
    ),
    "bfloat16 in inference mode": together(half_dtype, torch.inference_mode),
    "another device, autocast": together(default_device, lambda: torch.autocast("cpu", torch.bfloat16)),
    "no gradients in a device's block": together(torch.no_grad, lambda: torch.device("meta")),
}


def state() -> dict[str, Any]:
    """What a caller could notice."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "threads": torch.get_num_threads(),
        "tf32": (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()),
        "denormals": (torch.full((1,), 1e-40, dtype=torch.float32, device="cpu") * 1.0).item() == 0,
        "numpy": np.geterr(),
        "filters": list(warnings.filters),
        "backend": os.environ.get("MPLBACKEND"),
        "torch's draw": torch.random.get_rng_state().tolist(),
        "numpy's draw": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "python's draw": random.getstate(),
        "folder": Path.cwd(),
    }


def numbers(out: Path) -> list[Any]:
    """What a run, its figure, its metric, its samples and its codes come to."""
    run = genzoo.run("vae", out=out, **SMALL)
    images = torch.full((2, 1, 8, 8), 0.5, dtype=torch.float32, device="cpu")
    found = [run.metrics, run.evaluate("elbo"), run.sample(2, seed=1).tolist(), run.encode(images).tolist()]
    again = genzoo.load(run.path)
    assert again.figure("traversal") is not None
    assert again.encode(images).dtype == torch.float32
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return numbers(tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("caller", CALLERS)
def test_no_caller_changes_a_number_and_none_is_changed(caller: str, expected: list[Any], tmp_path: Path) -> None:
    with CALLERS[caller]():
        before = state()
        found = numbers(tmp_path)
        after = state()
    assert found == expected
    assert after == before


def test_a_draw_without_a_seed_is_the_callers_own() -> None:
    run = genzoo.load("zoo:report-vae")
    torch.manual_seed(5)
    first, second = run.sample(2), run.sample(2)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(run.sample(2), first)


def test_what_is_changed_within_is_put_back_also_after_an_error() -> None:
    @own_state()
    def change() -> None:
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(torch.get_num_threads() + 1)
        np.random.rand(3)
        random.random()
        torch.rand(3)
        raise ValueError("left")

    before = state()
    with pytest.raises(ValueError, match="left"):
        change()
    assert state() == before


def test_a_warning_that_the_caller_made_an_error_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STRICT_WARNINGS", False)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        with own_state():
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            np.float64(1.0) / np.float64(0.0)
        assert warnings.filters == filters
        with pytest.raises(UserWarning):
            warnings.warn("the caller's own", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown][:1] == ["old"]


def test_a_warning_that_the_caller_ignores_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STRICT_WARNINGS", False)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "known")
        with own_state():
            warnings.warn("known", UserWarning, stacklevel=1)
    assert shown == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no-such-backend", "qtagg"])
def test_a_figure_needs_no_window_and_leaves_the_backend_to_the_caller(backend: str) -> None:
    code = (
        "import os, genzoo\n"
        "assert genzoo.load('zoo:report-vae').figure('traversal') is not None\n"
        "import matplotlib\n"
        "print(os.environ['MPLBACKEND'], matplotlib.rcParams['backend'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    named, kept = done.stdout.split()
    assert named == backend
    assert kept == (backend if backend == "qtagg" else "agg")


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline"])
def test_the_command_line_needs_no_window(backend: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genzoo", "viz", "zoo:report-vae", "traversal", "--out", str(tmp_path / "figures")],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figures" / "traversal.png").is_file()


@pytest.mark.slow
def test_warnings_as_errors_break_neither_the_import_nor_a_run() -> None:
    code = "import genzoo; genzoo.load('zoo:report-vae').sample(1); print('drawn')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.stdout == "drawn\n", done.stderr


SHADOWS = ("json", "random", "pickle", "tempfile", "numpy", "signal", "contextlib", "traceback")


@pytest.mark.parametrize("what", ["probe", "trial"])
def test_no_file_of_the_current_folder_is_imported(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(
            f"open('{name}.txt', 'w'); raise RuntimeError('not the real {name}')", encoding="utf-8"
        )
    monkeypatch.chdir(tmp_path)
    if what == "probe":
        prober.stop()
        found = prober.ask("import", torch=False, module="genzoo_vae.plugin")
        prober.stop()
        assert "error" not in found, found
    else:
        points = [point for point in entry_points(group="genzoo.plugins") if point.value.startswith("genzoo_vae")]
        assert points
        assert trial.try_declarations(points) == {}
    assert not list(tmp_path.glob("*.txt"))
