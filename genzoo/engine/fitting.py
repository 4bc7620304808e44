"""The stage that fits a prior to a trained model's latents: its objective, and the codes that it may keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Batches, Codes, Loader
from genzoo.interfaces.dataset import Dataset
from genzoo.interfaces.generator import Generator
from genzoo.interfaces.objective import Objective, Player, Terms
from genzoo.interfaces.prior import Prior
from genzoo.options import NoOptions
from genzoo.randomness import derive, seeded
from genzoo.types import Batch, Capability, Context


class FitPrior(Objective):
    """Minimises `Prior.fit_loss` over the top-level latents of images, which no gradient reaches.

    Args:
        prior: Whose parameters are fitted.
        coded: Whether batches hold latents already; see `codes_of`. Otherwise each image is encoded at each step.
    """

    def __init__(self, prior: Prior, *, coded: bool) -> None:
        super().__init__(NoOptions())
        self._fitted = [prior]  # In a list, since its parameters are the model's.
        self._coded = coded
        self.reports = (prior.fit_report,)  # pyright: ignore[reportAttributeAccessIssue]
        self.headline = (prior.fit_report.name, prior.fit_report.better or "lower")  # pyright: ignore[reportAttributeAccessIssue]

    def players(self, model: Generator) -> Sequence[Player]:
        """See `Objective.players`; the prior alone."""
        return (Player("prior", list(self._fitted[0].parameters())),)

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`."""
        prior = self._fitted[0]
        latents = batch.image if self._coded else top_latents(model, batch)
        with context.autocast():
            loss = prior.fit_loss(latents, batch.label)
        objective = loss.float().mean()
        named = {prior.fit_report.name: objective}
        return Terms(objective, named, named)


@torch.no_grad()
def top_latents(model: Any, batch: Batch) -> Tensor:
    """One posterior sample of the top level for each image, ``[B, *event]``, in float32 whatever the run's precision."""
    with full_float32():
        return model.encode(batch).latents[0].sample[0]


def can_be_kept(model: Generator, dataset: Dataset) -> bool:
    """Whether the latents of an image are the same at every step: deterministic codes of images that nothing changes."""
    return Capability.DETERMINISTIC_POSTERIOR in model.capabilities and not dataset.transforms


def codes_of(
    model: Generator, split: str, loader: Loader, *, seed: int, batch_size: int, poll: Callable[[], None]
) -> Batches:
    """The latents of a split, computed once; a pure function of the trained model and the seed."""
    model.eval()
    found: list[Tensor] = []
    for number, index in enumerate(loader.slices(batch_size)):
        poll()
        with seeded(derive(seed, "codes", split, number)):
            found.append(top_latents(model, loader.batch(index, training=False)))
    latents, labels = torch.cat(found), loader.split.labels
    # The labels of a split that lies in a file are in memory, wherever the model is.
    return Codes(latents, None if labels is None else labels.to(latents.device))
