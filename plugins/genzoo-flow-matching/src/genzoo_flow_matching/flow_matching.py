"""The `flow-matching` prior."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from genzoo.distributions import StandardNormal
from genzoo.errors import UsageError
from genzoo.parts.field_prior import FieldPrior
from genzoo.types import ImageSpec, LatentSpec, Report
from genzoo_flow_matching.log_density import LogDensity, log_density
from genzoo_flow_matching.ode import Solver, check_solver, solve
from genzoo_flow_matching.options import FlowMatchingOptions


class FlowMatching(FieldPrior):
    r"""Noise carried to latents along a velocity field, learned by regression on straight paths.

    .. math::
        z_t = (1 - t)\, z_0 + t\, z_1, \qquad
        \min_v \mathbb E\, \tfrac1D \| v(z_t, t, c) - (z_1 - z_0) \|^2, \qquad z_0 \sim \mathcal N(0, I)

    A draw solves dz/dt = v(z, t, c) from t = 0 to 1 by the steps of Euler or of Heun, or by those that torchdiffeq chooses.
    Before it is fitted it is N(0, I). Its density is not known at the price of a draw, so that no elbo is computed with it;
    the metric `log-prob` estimates it along the equation.

    Args:
        options: Steps of a draw, whether it uses labels, and how long it is fitted.
        latent: Real-valued latents; their shape is the field's image.
        image: Its ``classes`` is the number of labels.

    Raises:
        IncompatibleError: If it should use labels that the data has not.
        PluginError: If it should choose its steps and torchdiffeq is not installed.

    References:
        Lipman et al. 2023, Flow Matching for Generative Modeling, equations 9 and 23 with σ_min = 0.
    """

    density: ClassVar[Literal["exact", "bound", "estimate", "none"]] = "none"
    fit_report: ClassVar[Report] = Report("velocity_error", "Squared error of the velocity", "", "lower")
    name: ClassVar[str] = "flow-matching"
    options: FlowMatchingOptions

    def __init__(self, options: FlowMatchingOptions, latent: LatentSpec, image: ImageSpec) -> None:
        super().__init__(options, latent, image)
        check_solver(options.solver)

    def nll(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.nll`; refused, since the density is not known."""
        raise UsageError("flow-matching: −log p(z) is not known; fitting minimises the velocity's squared error.")

    def fit_loss(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """See `Prior.fit_loss`; the squared error of the velocity, mean over dimensions."""
        self.begin()
        n = len(latents)
        noise = torch.randn_like(latents)
        time = self.times(n)
        t = time.to(latents.dtype).reshape(n, *([1] * len(self.latent.shape)))
        velocity = self.at(torch.lerp(noise, latents, t), time, label, drop=self.dropped)
        return (velocity - (latents - noise)).float().square().flatten(1).mean(1)

    @torch.no_grad()
    def draw(self, n: int, label: Tensor | None = None) -> Tensor:
        """See `FieldPrior.draw`."""
        options, label = self.options, self.labels(n, label)
        (z,) = solve(
            lambda time, state: (self._velocity(state[0], time, label),),
            (self.noise(n),),
            0.0,
            1.0,
            solver=options.solver,
            steps=options.steps,
            tolerance=options.tolerance,
        )
        return z

    def log_density(
        self,
        latents: Tensor,
        label: Tensor | None = None,
        *,
        solver: Solver = "heun",
        steps: int = 50,
        tolerance: float = 1e-4,
        probes: int = 0,
    ) -> LogDensity:
        """log p(z) of what is drawn with this guidance, along the differential equation; exact before it is fitted.

        Args:
            latents: ``[B, *event]``.
            label: int64 ``[B]``; required by a conditional prior.
            solver, steps, tolerance: See `genzoo_flow_matching.ode.solve`.
            probes: See `genzoo_flow_matching.log_density.log_density`.
        """
        if not self.begun:
            value = StandardNormal(self.latent.shape).log_prob(latents)
            return LogDensity(value, torch.zeros_like(value))
        settings = {"solver": solver, "steps": steps, "tolerance": tolerance, "probes": probes}
        return log_density(lambda z, time: self._velocity(z, time, label), latents, **settings)

    def _velocity(self, z: Tensor, time: float, label: Tensor | None) -> Tensor:
        return self.guided(z, torch.full((len(z),), time, dtype=z.dtype, device=z.device), label)
