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
from genzoo.runs.verdict import remedies_of, verdict
from genzoo.types import Batch, Capability, Kind


def verdict_of(experiment: Experiment, view: RunView, row: Mapping[str, Any]) -> str:
    """The verdict on a trained experiment; see `verdict`.

    Args:
        experiment: As it is now.
        view: Of it, for images.
        row: The last epoch's.
    """
    model = experiment.model
    units = size = None
    if Capability.REAL_LATENT in model.capabilities:
        with at_rest(view, "verdict"):
            units, size = units_in_use(model, view.batch(1000))
    resolved, configured = experiment.plan, experiment.schedule.configured
    kinds = (Kind.DATASET, Kind.LIKELIHOOD, Kind.PRIOR, Kind.LOSS)
    defaults = all(resolved[kind].name == DEFAULTS[kind] for kind in kinds) and configured.get("beta") == 1
    loss = experiment.loss.options
    warm_up = [getattr(choice.options, "epochs", None) for choice in resolved.schedulers.get("beta", ())]
    return verdict(
        row,
        units,
        size,
        remedies=remedies_of(loss, configured, max((length for length in warm_up if length), default=None)),
        report_setup=size == 2 and defaults,
    )


def units_in_use(model: Model, batch: Batch) -> tuple[int, int]:
    """How many latent units of all levels vary with the image, and how many there are."""
    several = len(model.levels) > 1

    def means() -> torch.Tensor:
        latents = model.encode(batch, samples=20 if several else 1).latents
        return torch.cat([each.posterior.mean.expand_as(each.sample).mean(0).flatten(1) for each in latents], 1)

    first = means()
    # The means of a level may depend on samples of another: other samples leave out the noise of the first.
    again = means() if several else None
    return int(active_units(first, again=again).sum()), first.shape[1]
