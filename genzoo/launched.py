"""Whether ``torchrun`` started this process as one of several. Imports no torch.

Clusters and other programs leave ``RANK`` or ``WORLD_SIZE`` alone in the environment; only all that ``torchrun`` sets,
together, means several processes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from genzoo.errors import UsageError


@dataclass(frozen=True)
class Launched:
    """This process among several.

    Args:
        rank: Its number.
        size: How many there are.
        local_rank: Its number on its machine.
    """

    rank: int
    size: int
    local_rank: int


def launched() -> Launched | None:
    """This process among those that ``torchrun`` started; None of one alone.

    Raises:
        UsageError: If the environment names numbers that are none.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    found = {name: os.environ.get(name, "0") for name in names}
    for name, text in found.items():
        if not (text.isascii() and text.isdigit()):
            raise UsageError(
                f"run: the environment's {name} must be a whole number, as torchrun sets it, got {text!r}.",
                f"Unset it: unset {name}",
            )
    rank, size, local_rank = (int(found[name]) for name in names)
    if size <= 1:
        return None
    if rank >= size:
        raise UsageError(
            f"run: the environment's RANK must be below its WORLD_SIZE, {size}, got {rank}.",
            "Start with torchrun, or unset both.",
        )
    return Launched(rank, size, local_rank)
