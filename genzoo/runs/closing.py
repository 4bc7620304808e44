"""What a trained run came to: its verdict, from its last row and from how its latents vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from genzoo.compose.build import Experiment
from genzoo.compose.plan import DEFAULTS
from genzoo.estimators import active_units
from genzoo.interfaces.model import Model
from genzoo.interfaces.view import RunView
from genzoo.runs.draw import at_rest
from genzoo.runs.verdict import LevelUse, codebook_remedies, remedies_of, verdict
from genzoo.types import Batch, Capability, Kind, Latent, LatentSpec


def verdict_of(experiment: Experiment, view: RunView, row: Mapping[str, Any]) -> str:
    """The verdict on a trained experiment; see `verdict`.

    Args:
        experiment: As it is now.
        view: Of it, for images.
        row: The last epoch's.
    """
    model = experiment.model
    levels: list[LevelUse] = []
    if model.capabilities & {Capability.REAL_LATENT, Capability.CATEGORICAL_LATENT}:
        with at_rest(view, "verdict"):
            levels = levels_in_use(model, view.batch(1000))
    resolved, configured = experiment.plan, experiment.schedule.configured
    kinds = (Kind.DATASET, Kind.LIKELIHOOD, Kind.PRIOR, Kind.LOSS)
    defaults = all(resolved[kind].name == DEFAULTS[kind] for kind in kinds) and configured.get("beta") == 1
    loss = experiment.loss.options
    warm_up = [getattr(choice.options, "epochs", None) for choice in resolved.schedulers.get("beta", ())]
    if levels and levels[0].deterministic and levels[0].codes is not None:
        remedies = codebook_remedies(model.options)
    else:
        remedies = remedies_of(loss, configured, max((length for length in warm_up if length), default=None))
    plane = len(levels) == 1 and levels[0].active is not None and levels[0].size == 2
    return verdict(row, levels, remedies=remedies, report_setup=plane and defaults)


def levels_in_use(model: Model, batch: Batch) -> list[LevelUse]:
    """How many latent units of each level vary with the image, or which codes occur; top first."""
    # The means of a level may depend on samples of another: other samples leave out the noise of the first.
    several = len(model.levels) > 1
    first = model.encode(batch, samples=20 if several else 1).latents
    again = model.encode(batch, samples=20).latents if several else first
    pairs = zip(model.levels, first, again, strict=True)
    return [_use(spec, one, other if several else None, model) for spec, one, other in pairs]


def _use(spec: LatentSpec, latent: Latent, again: Latent | None, model: Model) -> LevelUse:
    if spec.categories is None:
        active = active_units(_means(latent), again=None if again is None else _means(again))
        return LevelUse(spec.size, active=int(active.sum()))
    picked = latent.sample[0]
    counts = torch.bincount(picked.flatten(), minlength=spec.categories).double()
    shares = counts / counts.sum()
    return LevelUse(
        spec.size,
        codes=spec.categories,
        used=int((counts > 0).sum()),
        entropy=float(-torch.xlogy(shares, shares).sum()),
        images=len(picked),
        deterministic=Capability.DETERMINISTIC_POSTERIOR in model.capabilities,
    )


def _means(latent: Latent) -> torch.Tensor:
    """E_q[z|x], ``[B, D]``, averaged over the samples of other levels that it depends on."""
    return latent.posterior.mean.expand_as(latent.sample).mean(0).flatten(1)
