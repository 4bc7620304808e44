"""The `log-prob` metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch

from genzoo import estimators
from genzoo.errors import IncompatibleError
from genzoo.interfaces import Measurement, Metric, Model, PerImage, RunView
from genzoo.interfaces.measurement import fingerprints
from genzoo.parts.dequantized import Dequantized
from genzoo.randomness import derive, seeded
from genzoo.types import Capability, ImageSpec
from genzoo_flow_matching.flow_matching import FlowMatching
from genzoo_flow_matching.log_density import LogDensity
from genzoo_flow_matching.ode import check_solver
from genzoo_flow_matching.options import LogProbOptions

_TOGETHER = 100
"""Images at once."""


class LogProb(Metric):
    r"""log p(x) of test images, or a bound on it, with log p(z) along the flow of the prior; in nats per image.

    .. math:: \log p(x) \ge \mathbb E_{q(z|x)} [\log p(x|z) + \log p(z) - \log q(z|x)]

    with one posterior sample per image. It is the evidence lower bound; for dequantized pixels the bound on the mass of an
    image of integers. Beside it ``latents``, which is log p(z) alone, and for dequantized pixels ``bits_per_dim``, the
    negative bound divided by D log 2. ``standard_error`` is of the mean over images, and ``trace_error`` the part of it that
    comes from the probes.

    The prior `flow-matching` has no density at the price of a draw. Here its density is computed along its differential
    equation, backwards from the latents to their noise; see `genzoo_flow_matching.log_density.log_density`. That is an
    estimate: the trace is exact up to ``exact`` dimensions and by Hutchinson's probes above, and steps of finite size
    are taken. Other priors answer with the density, or the bound, that they have.

    Args:
        options: Images, trace and solver.

    References:
        Chen et al. 2018, Neural Ordinary Differential Equations, theorem 1; Grathwohl et al. 2019, FFJORD, equation 8;
        Theis et al. 2016, A note on the evaluation of generative models, section 3.1.
    """

    requires: ClassVar[frozenset[str]] = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    reads = frozenset({"test"})
    estimates: ClassVar[Mapping[str, str]] = MappingProxyType({"": "elbo"})
    direction: ClassVar[Literal["higher", "lower"] | None] = "higher"
    unit = "nats"
    options: LogProbOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Metric.check`.

        Raises:
            IncompatibleError: If the prior has no density, or none without labels that the data has not.
        """
        if not isinstance(model.prior, FlowMatching):
            density = getattr(model.prior, "density", "exact")
            if density == "none":
                raise IncompatibleError("log-prob: the prior must have a density, got one without.")
            return
        check_solver(self.options.solver)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return f"at most {self.options.images} test images, one seeded posterior sample each"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        options, prior = self.options, run.model.prior
        self.check(run.model, run.image)
        size = run.model.levels[0].size
        values, errors, bounds, seen = [], [], [], []
        split = run.split()
        index = split.rows(options.images)
        dequantized = False
        for start in range(0, len(index), _TOGETHER):
            batch = split.at(index).batch(slice(start, start + _TOGETHER)).to(run.device)
            batch = batch.with_image(run.dataset.transform(batch.image, training=False))
            with seeded(derive(run.seed, "log-prob", start)):
                output = run.model(batch, samples=1)
                latent = output.latents[0]
                z = latent.sample[0]
                found = self._density(run, z, batch.label)
            posterior = latent.posterior
            dequantized = isinstance(posterior, Dequantized)
            bound = found.value - posterior.log_prob(z) - estimators.distortion(output, batch.image)[0]
            values.append(found.value.cpu().double())
            errors.append(found.error.cpu().double())
            bounds.append(bound.cpu().double())
            seen.append(fingerprints(batch.image))
        value, error, bound = torch.cat(values), torch.cat(errors), torch.cat(bounds)
        numbers = {"": float(bound.mean()), "latents": float(value.mean())}
        if len(value) > 1:
            numbers["standard_error"] = float(bound.std()) / math.sqrt(len(bound))
        if bool((error > 0).any()):
            numbers["trace_error"] = float(error.square().sum().sqrt()) / len(value)
        units: dict[str, str] = {}
        if dequantized:
            numbers["bits_per_dim"] = -numbers[""] / (size * math.log(2))
            units["bits_per_dim"] = "bits per dimension"
        return Measurement(
            numbers,
            units=units,
            protocol=f"{split.subset(options.images).count} test images, one seeded posterior sample each; "
            + self._kind(prior, size),
            per_image=PerImage(bound, index, torch.cat(seen)),
        )

    def _density(self, run: RunView, z: torch.Tensor, label: torch.Tensor | None) -> LogDensity:
        prior, options = run.model.prior, self.options
        if isinstance(prior, FlowMatching) and prior.begun:
            exact = prior.latent.size <= options.exact
            return prior.log_density(
                z,
                label,
                probes=0 if exact else options.probes,
                solver=options.solver,
                steps=options.steps,
                tolerance=options.tolerance,
            )
        of = prior(label=label if prior.conditional else None)
        value = of.log_prob(z)
        return LogDensity(value, torch.zeros_like(value))

    def _kind(self, prior: object, size: int) -> str:
        options = self.options
        if not (isinstance(prior, FlowMatching) and prior.begun):
            return f"density of the prior: {getattr(prior, 'density', 'exact')}"
        trace = "exact trace" if size <= options.exact else f"trace by {options.probes} probes of random signs"
        if options.solver == "adaptive":
            return (
                f"density of the prior: estimate, along its ODE, {trace}, dopri5 with tolerance {options.tolerance:g}"
            )
        return f"density of the prior: estimate, along its ODE, {trace}, {options.steps} steps of {options.solver}"
