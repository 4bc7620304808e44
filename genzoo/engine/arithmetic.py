"""True float32 for every reported number: TensorFloat-32 and bfloat16 stay out of its products and convolutions."""

from __future__ import annotations

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
