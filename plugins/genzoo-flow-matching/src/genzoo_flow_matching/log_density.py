"""The density along a flow: the instantaneous change of variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genzoo.distributions import StandardNormal
from genzoo_flow_matching.ode import Solver, solve

Field = Callable[[Tensor, float], Tensor]
"""From ``[B, *event]`` and a time to velocities ``[B, *event]``."""


class LogDensity(NamedTuple):
    """log p(z) of some latents.

    Args:
        value: ``[B]``, in nats.
        error: ``[B]``, its standard error by the probes of the trace; 0 for an exact trace.
    """

    value: Tensor
    error: Tensor


@torch.no_grad()
def log_density(
    field: Field, latents: Tensor, *, solver: Solver, steps: int, tolerance: float, probes: int = 0
) -> LogDensity:
    r"""log p(z_1) for z_0 ~ N(0, I) carried from t = 0 to 1 along a field.

    .. math:: \log p(z_1) = \log \mathcal N(z_0; 0, I) - \int_0^1 \mathrm{tr}\, \frac{\partial v}{\partial z}(z_t, t)\, dt

    z_0 is found by following the field backwards. The trace is exact, at the price of as many derivatives as there are
    dimensions, or the mean of :math:`\epsilon^\top (\partial v / \partial z)\, \epsilon` over probes ε of random signs, each
    of which is kept along the path.

    Args:
        field: v.
        latents: ``[B, *event]``.
        solver, steps, tolerance: See `solve`.
        probes: Number of probes, two at least; 0 for the exact trace.

    References:
        Chen et al. 2018, Neural Ordinary Differential Equations, theorem 1; Grathwohl et al. 2019, FFJORD, equation 8;
        Hutchinson 1989.

    Example:
        >>> grows = lambda z, t: 0.5 * z  # noqa: E731
        >>> found = log_density(grows, torch.zeros(1, 2), solver="heun", steps=50, tolerance=0)
        >>> [round(float(value), 3) for value in found.value]  # log N(0; 0, I) - 2 · 0.5
        [-2.838]
    """
    size = latents[0].numel()
    signs = [torch.randint_like(latents, 2) * 2 - 1 for _ in range(probes)]

    def slope(time: float, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            z = state[0].detach().requires_grad_()
            velocity = field(z, time)
            if signs:
                traces = [_product(velocity, z, probe) for probe in signs]
            else:
                flat = velocity.flatten(1)
                traces = [sum(_derivative(flat[:, i].sum(), z).flatten(1)[:, i] for i in range(size))]
        return velocity.detach(), torch.stack([torch.as_tensor(trace) for trace in traces], 1).detach()

    begin = latents.new_zeros(len(latents), max(probes, 1))
    start, change = solve(slope, (latents, begin), 1.0, 0.0, solver=solver, steps=steps, tolerance=tolerance)
    # Time ran backwards, so the change is minus the integral from 0 to 1.
    each = StandardNormal(latents.shape[1:]).log_prob(start)[:, None] + change
    error = each.std(1) / probes**0.5 if probes > 1 else torch.zeros_like(each[:, 0])
    return LogDensity(each.mean(1), error)


def _product(velocity: Tensor, z: Tensor, probe: Tensor) -> Tensor:
    return (_derivative((velocity * probe).sum(), z) * probe).flatten(1).sum(1)


def _derivative(of: Tensor, z: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(of, z, retain_graph=True)
    return found
