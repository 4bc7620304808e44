"""True float32 for every reported number, and sums in the same order each time for a run that is resumed."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends


@contextmanager
def full_float32() -> Generator[None]:
    """Multiply and convolve float32 as float32 in a block, whatever autocast and torch's flags say; all put back.

    By default cuDNN convolves float32 in TensorFloat-32, which keeps 10 bits of 23.

    Example:
        >>> with full_float32():
        ...     torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        ('highest', False)
    """
    restore = _set_flags()
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        restore()


@contextmanager
def repeatable() -> Generator[None]:
    """Let CUDA compute the same bits each time in a block; torch's flags and the environment are put back.

    By default cuDNN may choose a gradient of a convolution that sums in any order, and so may scattered additions. An
    operation that has no other kernel warns once, by name; a run with it is resumed only nearly.

    Example:
        >>> with repeatable():
        ...     torch.are_deterministic_algorithms_enabled()
        True
    """
    name = "CUBLAS_WORKSPACE_CONFIG"
    workspace = os.environ.get(name)
    mode = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    fills, chooses = memory.fill_uninitialized_memory, backends.cudnn.benchmark
    attention = backends.cuda.cudnn_sdp_enabled(), backends.cuda.mem_efficient_sdp_enabled()
    # torch asks for it before the first matrix product, and refuses to call that one repeatable without it.
    os.environ.setdefault(name, ":4096:8")
    torch.set_deterministic_debug_mode(mode or "warn")
    memory.fill_uninitialized_memory = False  # which would write all memory twice
    backends.cudnn.benchmark = False  # which chooses by the clock
    backends.cuda.enable_cudnn_sdp(False)  # whose gradients, as the other's, are summed in any order
    backends.cuda.enable_mem_efficient_sdp(False)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fills
        backends.cudnn.benchmark = chooses
        backends.cuda.enable_cudnn_sdp(attention[0])
        backends.cuda.enable_mem_efficient_sdp(attention[1])
        if workspace is None:
            os.environ.pop(name, None)


def _set_flags() -> Callable[[], None]:
    """Ask for float32 everywhere; returns what puts torch's flags back."""
    places: list[Any] = [
        backends.cuda.matmul,
        backends.cudnn.conv,  # pyright: ignore[reportAttributeAccessIssue]
        backends.cudnn.rnn,  # pyright: ignore[reportAttributeAccessIssue]
        backends.mkldnn.matmul,  # pyright: ignore[reportAttributeAccessIssue]
        backends.mkldnn.conv,  # pyright: ignore[reportAttributeAccessIssue]
    ]
    before = [place.fp32_precision for place in places]

    def put_back() -> None:
        for place, precision in zip(places, before, strict=True):
            if place.fp32_precision != precision:
                place.fp32_precision = precision

    try:
        # Torch has two sets of flags and refuses to read the older one where only the newer one was set, which a
        # plugin may do; so both are set, where both can be read.
        products, cudnn = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
        _ = backends.cuda.matmul.allow_tf32
    except RuntimeError:
        for place in places:
            place.fp32_precision = "ieee"
        return put_back

    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = False
    for place in places:
        # Such as convolutions on the CPU, which the older flags say nothing of.
        if place.fp32_precision not in {"ieee", "none"}:
            place.fp32_precision = "ieee"

    def put_both_back() -> None:
        torch.set_float32_matmul_precision(products)
        backends.cudnn.allow_tf32 = cudnn
        put_back()

    return put_both_back
