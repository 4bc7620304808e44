"""Programs and their test cases as JSON that a page holds, and the script that runs them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.parts.browser.program import Program

TOLERANCE = 2e-3
"""A page says so where it computes something farther than this from torch."""

EXACT = 4096
"""Constants of up to so many values are stored in float32; larger ones in float16."""

_HALF_MAX = 65504.0


def runtime() -> str:
    """The script that runs programs, ``browser.js``: a function ``genzooPrograms(packed, bytes)``."""
    return files("genzoo.parts.browser").joinpath("browser.js").read_text("utf-8")


@dataclass(frozen=True)
class Case:
    """Inputs of a program and what torch makes of them, which a page computes again.

    Args:
        program: Name of the program.
        inputs: Rounded to float16 by `case`.
        outputs: In float32.
    """

    program: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@torch.no_grad()
def case(program: str, function: Callable[..., Any], inputs: Sequence[Tensor]) -> Case:
    """A `Case` of a function, on inputs that a page can hold."""
    rounded = tuple(value.half().to(value.dtype) for value in inputs)
    made = function(*rounded)
    return Case(program, rounded, tuple(made) if isinstance(made, tuple | list) else (made,))


def pack(programs: Mapping[str, Program], cases: Sequence[Case] = ()) -> dict[str, Any]:
    """Programs and cases as plain JSON, their numbers compressed in one base64 text.

    Large constants are rounded to float16. The bytes of all numbers are sorted by their place in the number, since zlib
    packs them better so; ``genzooUnpack`` of `runtime` reads them.

    Args:
        programs: By name.
        cases: Of these programs.

    Returns:
        ``{"programs": …, "cases": …, "halves": n, "singles": n, "data": base64}``.
    """
    numbers = _Numbers()
    written: dict[str, Any] = {}
    for name, program in programs.items():
        constants = {str(number): numbers.add(value) for number, value in program.constants.items()}
        written[name] = {
            "inputs": program.inputs,
            "outputs": program.outputs,
            "shapes": program.shapes,
            "ops": program.ops,
            "constants": constants,
        }
    shown = [
        {
            "program": item.program,
            "inputs": [numbers.add(value, exact=False) for value in item.inputs],
            "outputs": [numbers.add(value, exact=True) for value in item.outputs],
        }
        for item in cases
    ]
    return {"programs": written, "cases": shown, **numbers.packed()}


class _Numbers:
    """Arrays of two precisions in one text."""

    def __init__(self) -> None:
        self._halves: list[np.ndarray[Any, Any]] = []
        self._singles: list[np.ndarray[Any, Any]] = []
        self._sizes = [0, 0]

    def add(self, value: Tensor, exact: bool | None = None) -> list[int]:
        """Store a tensor; ``[precision, start, length]`` with precision 0 for float16."""
        flat = value.detach().float().cpu().contiguous().flatten().numpy()
        if exact is None:
            exact = flat.size <= EXACT or float(np.abs(flat).max()) > _HALF_MAX
        place = [int(exact), self._sizes[exact], int(flat.size)]
        (self._singles if exact else self._halves).append(flat.astype("<f4" if exact else "<f2"))
        self._sizes[exact] += flat.size
        return place

    def packed(self) -> dict[str, Any]:
        planes = b"".join(
            np.concatenate([*parts, np.zeros(0, kind)]).astype(kind).view("u1").reshape(-1, size).T.tobytes()
            for parts, kind, size in ((self._halves, "<f2", 2), (self._singles, "<f4", 4))
        )
        data = base64.b64encode(zlib.compress(planes, 9)).decode()
        return {"halves": self._sizes[0], "singles": self._sizes[1], "data": data}
