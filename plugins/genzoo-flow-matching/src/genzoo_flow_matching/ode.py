"""Ordinary differential equations: steps of Euler and of Heun, and steps that torchdiffeq chooses."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from genzoo.errors import PluginError

Solver = Literal["euler", "heun", "adaptive"]
State = tuple[Tensor, ...]
Slope = Callable[[float, State], State]


def check_solver(solver: Solver) -> None:
    """Refuse ``adaptive`` where torchdiffeq is missing.

    Raises:
        PluginError: With the command that installs it.
    """
    if solver == "adaptive" and find_spec("torchdiffeq") is None:
        raise PluginError(
            "flow-matching: solver adaptive must have torchdiffeq, which is not installed.",
            "pip install torchdiffeq, or choose euler or heun.",
        )


def solve(
    slope: Slope, state: State, start: float, end: float, *, solver: Solver, steps: int, tolerance: float
) -> State:
    """The state at ``end`` of ds/dt = slope(t, s) from ``state`` at ``start``; time may run backwards.

    Args:
        slope: From a time and a state to the state's derivative.
        state: Tensors.
        start, end: Times.
        solver: ``euler`` and ``heun`` take equal steps; ``adaptive`` is Dormand and Prince's method of order 5.
        steps: Number of equal steps.
        tolerance: Relative and absolute error that ``adaptive`` allows in a step.

    References:
        Dormand and Prince 1980, A family of embedded Runge-Kutta formulae.

    Example:
        >>> decay = lambda t, s: (-s[0],)
        >>> (end,) = solve(decay, (torch.ones(1),), 0.0, 1.0, solver="heun", steps=100, tolerance=0)
        >>> round(float(end), 4)
        0.3679
    """
    if solver == "adaptive":
        return _adaptive(slope, state, start, end, tolerance)
    span = end - start
    for step in range(steps):
        first = slope(start + span * step / steps, state)
        ahead = tuple(s + span * f / steps for s, f in zip(state, first, strict=True))
        if solver == "heun":
            second = slope(start + span * (step + 1) / steps, ahead)
            ahead = tuple(s + span * (f + g) / (2 * steps) for s, f, g in zip(state, first, second, strict=True))
        state = ahead
    return state


def _adaptive(slope: Slope, state: State, start: float, end: float, tolerance: float) -> State:
    from torchdiffeq import odeint  # pyright: ignore[reportMissingImports]

    times = torch.tensor([start, end], dtype=state[0].dtype, device=state[0].device)
    path = odeint(lambda t, s: slope(float(t), s), state, times, rtol=tolerance, atol=tolerance, method="dopri5")
    return tuple(each[-1] for each in path)
