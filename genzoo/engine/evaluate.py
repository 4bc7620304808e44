"""Distortion, rate and elbo of a split: no gradients, one seeded posterior sample an image, estimates in float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Loader
from genzoo.engine.workers import ALONE, Workers
from genzoo.interfaces.loss import Loss
from genzoo.interfaces.model import Model
from genzoo.randomness import derive, seeded
from genzoo.types import Context, LossTerms


def pack(terms: LossTerms) -> Tensor:
    """A loss's numbers as one vector, the objective first."""
    values = [terms.objective, terms.distortion, *terms.rates.unbind(), *terms.terms.values()]
    return torch.stack([value.detach() for value in values])


class Totals:
    """Sums of a loss's numbers over images, kept on the device so that no step waits for them."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._levels = 0
        self._sums: Tensor | None = None
        self.images = 0

    def add(self, terms: LossTerms, images: int, values: Tensor) -> None:
        """Add a batch's means.

        Args:
            terms: Names the numbers.
            images: How many images the batch has.
            values: The numbers, as `pack` gives them.
        """
        if self._sums is None:
            self._begin(tuple(terms.terms), terms.rates.shape[0], terms.objective.device)
        assert self._sums is not None
        self._sums.add_(values, alpha=images)
        self.images += images

    def means(self) -> dict[str, Any]:
        """Means over images: objective, distortion, rate, rates, elbo, ratio and the named terms."""
        assert self._sums is not None
        objective, distortion, *rest = (self._sums / self.images).tolist()
        rates = rest[: self._levels]
        rate = sum(rates)
        return {
            "objective": objective,
            "distortion": distortion,
            "rate": rate,
            "rates": rates,
            "elbo": -(distortion + rate),
            "ratio": distortion / rate if rate > 0 else None,
            "terms": dict(zip(self._names, rest[self._levels :], strict=True)),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on adding."""
        sums = [] if self._sums is None else self._sums.tolist()
        return {"names": list(self._names), "levels": self._levels, "sums": sums, "images": self.images}

    def merged(self, workers: Workers) -> Totals:
        """The sums over all workers."""
        if workers.size == 1:
            return self
        merged = Totals()
        for state in workers.gather(self.state()):
            if merged._sums is None:
                merged.restore(state, "cpu")
            elif state["sums"]:
                merged._sums.add_(torch.tensor(state["sums"], dtype=torch.float64))
                merged.images += state["images"]
        return merged

    def restore(self, state: dict[str, Any], device: str) -> None:
        """Go on from `state`."""
        if state["sums"]:
            self._begin(tuple(state["names"]), state["levels"], torch.device(device))
            self._sums = torch.tensor(state["sums"], dtype=torch.float64 if device != "mps" else None, device=device)
        self.images = state["images"]

    def _begin(self, names: tuple[str, ...], levels: int, device: torch.device) -> None:
        self._names, self._levels = names, levels
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sums = torch.zeros(2 + levels + len(names), dtype=dtype, device=device)


@torch.no_grad()
def evaluate(
    model: Model,
    loss: Loss,
    loader: Loader,
    context: Context,
    *,
    seed: int,
    batch_size: int,
    poll: Callable[[], None] = lambda: None,
    workers: Workers = ALONE,
    arithmetic: Callable[[], AbstractContextManager[None]] = full_float32,
) -> dict[str, Any]:
    """Means over a split, by the protocol of every reported number.

    Args:
        model: Put in eval mode for the time, and back.
        loss: Its terms are reported beside distortion and rate.
        loader: The split.
        context: The scheduled quantities, so that training and evaluation agree on the objective.
        seed: The noise derives from it and the batch's number; the global random state is put back.
        batch_size: Images a batch; it changes the noise drawn, not what is estimated.
        poll: Called before each batch; may raise to leave.
        workers: Who share the batches.
        arithmetic: That of the networks; what is estimated from their outputs is computed in float32 in any case.

    Returns:
        See `Totals.means`.
    """
    was_training = model.training
    model.eval()
    totals = Totals()
    try:
        for number, index in enumerate(loader.slices(batch_size)):
            if number % workers.size == 0:
                poll()
            if number % workers.size != workers.rank:
                continue
            with full_float32(), seeded(derive(seed, "evaluate", number)):
                batch = loader.batch(index, training=False)
                with arithmetic():
                    output = model(batch, samples=loss.samples)
                terms = loss(output, batch, context)
                totals.add(terms, len(batch), pack(terms))
    finally:
        model.train(was_training)
    return totals.merged(workers).means()
