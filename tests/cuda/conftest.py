"""The device under test, and how the same work on it and on the CPU is made comparable.

pytest tests/cuda                             on the first CUDA device; all skipped where there is none
GENZOO_TEST_DEVICE=cuda:1 pytest tests/cuda   on another one
GENZOO_TEST_DEVICE=cpu pytest tests/cuda      a rehearsal: the same tests, the CPU against itself
GENZOO_TEST_DEVICE=apart pytest tests/cuda    a rehearsal on a device that computes on the CPU (see `apart`)
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from genzoo.engine import settings
from genzoo.types import Batch

WANTED = os.environ.get("GENZOO_TEST_DEVICE", "cuda")
OPTION = "cpu" if WANTED == "cpu" else "cuda" if WANTED == "apart" else WANTED
"""What ``--device`` is given."""
ON_CUDA = WANTED.startswith("cuda")
REAL = pytest.mark.skipif(not ON_CUDA, reason="needs a CUDA device: a rehearsal says nothing of it")


@cache
def available() -> bool:
    """Whether the device is there; an old driver warns, and is none."""
    if not ON_CUDA:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available() and int(WANTED.partition(":")[2] or 0) < torch.cuda.device_count()


if WANTED == "apart":
    from . import apart

    PLACE = apart.PLACE
else:
    PLACE = WANTED if ":" in WANTED or WANTED == "cpu" else f"{WANTED}:0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if available():
        return
    skipped = pytest.mark.skip(reason=f"no device {WANTED} on this machine; GENZOO_TEST_DEVICE names another")
    for item in items:
        if "tests/cuda/" in item.path.as_posix():
            item.add_marker(skipped)


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The device's name, as genzoo writes it; what it was set to is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if WANTED == "apart":
        monkeypatch.setattr(settings, "_device", lambda wanted: "cpu" if wanted == "cpu" else PLACE)
        with apart.entered():
            yield PLACE
    else:
        yield PLACE
    torch.set_num_threads(before)


def may_wait(allowed: bool) -> None:
    """Whether the processor may wait for the device from now on; if not, what makes it wait raises."""
    if WANTED == "apart":
        apart.may_wait(allowed)
    elif ON_CUDA:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this mode a prototype
            torch.cuda.set_sync_debug_mode("default" if allowed else "error")


class SameNoise(TorchDispatchMode):
    """Random numbers of any device from the CPU's generator, so that one seed means the same noise on every device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Attention draws noise for dropout alone, which nothing here asks for, and its kernels are the device's own.
        if torch.Tag.nondeterministic_seeded not in func.tags or "dot_product" in func.name():
            return func(*args, **kwargs)
        place = torch.device(kwargs.get("device") or "cpu")
        for leaf in (*args, *kwargs.values()):
            if isinstance(leaf, Tensor):
                place = leaf.device
        if place.type == "cpu":
            return func(*args, **kwargs)
        here, options = tree_map_only(Tensor, lambda tensor: tensor.cpu(), (args, kwargs))
        if options.get("device") is not None:
            options["device"] = torch.device("cpu")
        result = func(*here, **options)
        if result is here[0] if here else False:  # drawn in place
            return args[0].copy_(result)
        return tree_map_only(Tensor, lambda tensor: tensor.to(place), result)


@contextmanager
def same_noise() -> Generator[None]:
    """See `SameNoise`; the stand-in for a device draws from the CPU's generator anyway."""
    if ON_CUDA:
        with SameNoise():
            yield
    else:
        yield


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Hold two sets of named tensors to a part of the greatest magnitude in each; numbers that are codes must be equal."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        ours, theirs = value.detach().cpu(), expected[name].detach().cpu()
        assert ours.shape == theirs.shape, name
        assert ours.dtype == theirs.dtype, name
        if not ours.is_floating_point():
            assert torch.equal(ours, theirs), f"{name} is another code"
            continue
        assert torch.equal(ours.isnan(), theirs.isnan()), f"{name} is NaN elsewhere"
        ours, theirs = ours.double().nan_to_num(), theirs.double().nan_to_num()
        if not ours.numel():
            continue
        apart_by = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0))
        assert apart_by <= tolerance, f"{name} differs from the CPU's by {apart_by:.3g}, more than {tolerance:g}"


def batch_to(batch: Batch, place: str, dtype: torch.dtype) -> Batch:
    """A batch on a device, its images in a dtype."""
    moved = batch.to(place)
    return moved.with_image(moved.image.to(dtype))
