"""What an objective reports of a split: no gradients, seeded noise, estimates in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genzoo.engine.arithmetic import full_float32
from genzoo.engine.data import Batches
from genzoo.engine.workers import ALONE, Workers
from genzoo.interfaces.generator import Generator
from genzoo.interfaces.objective import Objective, Terms
from genzoo.randomness import derive, seeded
from genzoo.types import Context


def pack(terms: Terms) -> Tensor:
    """A step's numbers as one vector, the objective first; `Totals.unpack` names what is reported."""
    values = [terms.objective]
    for value in terms.report.values():
        values.extend(value.unbind() if value.dim() else (value,))
    return torch.stack([value.detach() for value in (*values, *terms.terms.values())])


class Totals:
    """Sums of a player's numbers over images, kept on the device so that no step waits for them."""

    def __init__(self) -> None:
        self._layout: list[tuple[str, int | None]] = []
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self.images = 0

    def add(self, terms: Terms, images: int, values: Tensor) -> None:
        """Add a batch's means.

        Args:
            terms: Names the numbers.
            images: How many images the batch has.
            values: The numbers, as `pack` gives them.
        """
        self.sum(terms, values, images)
        self.images += images

    def sum(self, terms: Terms, values: Tensor, images: int) -> None:
        """The part of `add` that the device does: the images are not counted."""
        if self._sums is None:
            layout = [(name, value.shape[0] if value.dim() else None) for name, value in terms.report.items()]
            self._begin(layout, tuple(terms.terms), values.device)
        assert self._sums is not None
        self._sums.add_(values, alpha=images)

    def clear(self) -> None:
        """Begin with nothing, in the same tensor."""
        self.images = 0
        if self._sums is not None:
            self._sums.zero_()

    def means(self) -> tuple[float, dict[str, Any], dict[str, float]]:
        """Means over images: the objective, the report (a list for each vector), and the named terms."""
        assert self._sums is not None
        objective, *rest = (self._sums / self.images).tolist()
        report: dict[str, Any] = {}
        for name, size in self._layout:
            report[name] = rest[0] if size is None else rest[:size]
            rest = rest[1 if size is None else size :]
        return objective, report, dict(zip(self._names, rest, strict=True))

    def unpack(self, values: Tensor) -> dict[str, Tensor]:
        """The report's part of what `pack` gives."""
        report: dict[str, Tensor] = {}
        at = 1
        for name, size in self._layout:
            report[name] = values[at] if size is None else values[at : at + size]
            at += 1 if size is None else size
        return report

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to continue adding."""
        sums = [] if self._sums is None else self._sums.tolist()
        return {"layout": self._layout, "names": list(self._names), "sums": sums, "images": self.images}

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

    def restore(self, state: Mapping[str, Any], device: str) -> None:
        """Continue from `state`, also from that of genzoo 0.1, which knew losses alone and counted their levels."""
        if state["sums"]:
            layout = state["layout"] if "layout" in state else [("distortion", None), ("rates", state["levels"])]
            self._begin([(name, size) for name, size in layout], tuple(state["names"]), torch.device(device))
            self._sums = torch.tensor(state["sums"], dtype=torch.float64 if device != "mps" else None, device=device)
        self.images = state["images"]

    def _begin(self, layout: list[tuple[str, int | None]], names: tuple[str, ...], device: torch.device) -> None:
        self._layout, self._names = layout, names
        dtype = torch.float32 if device.type == "mps" else torch.float64
        numbers = 1 + sum(1 if size is None else size for _, size in layout) + len(names)
        self._sums = torch.zeros(numbers, dtype=dtype, device=device)


def numbers(objective: Objective, totals: Mapping[str, Totals]) -> dict[str, Any]:
    """A split's part of a row: the first player's objective and terms, what all report, and the other players' own.

    Args:
        objective: Makes a row's numbers of the means; see `Objective.summary`.
        totals: Player → its sums; those that took no part are left out.
    """
    means = {name: each.means() for name, each in totals.items() if each.images}
    (first, (minimised, _, terms)), *others = means.items()
    reported = {name: value for _, report, _ in means.values() for name, value in report.items()}
    row = {"objective": minimised, **objective.summary(reported), "terms": terms}
    if len(totals) > 1:
        row["players"] = {name: {"objective": value, "terms": parts} for name, (value, _, parts) in others}
        row["players"] = {first: {"objective": minimised, "terms": terms}, **row["players"]}
    return row


@torch.no_grad()
def evaluate(
    model: Generator,
    objective: Objective,
    loader: Batches,
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
        objective: What it reports is averaged.
        loader: The split.
        context: The scheduled quantities, so that training and evaluation agree on the objective.
        seed: The noise derives from it and the batch's number; the global random state is put back.
        batch_size: Images a batch; it changes the noise drawn, not what is estimated.
        poll: Called before each batch; may raise to leave.
        workers: Who share the batches.
        arithmetic: That of the networks; what is estimated from their outputs is computed in float32 in any case.

    Returns:
        See `numbers`.
    """
    modes = [(module, module.training) for module in (model, objective)]
    for module, _ in modes:
        module.eval()
    totals = Totals()
    context = replace(context, autocast=arithmetic)
    try:
        for number, index in enumerate(loader.slices(batch_size)):
            if number % workers.size == 0:
                poll()
            if number % workers.size != workers.rank:
                continue
            with full_float32(), seeded(derive(seed, "evaluate", number)):
                batch = loader.batch(index, training=False)
                terms = objective.evaluate(model, batch, context)
                totals.add(terms, len(batch), pack(terms))
    finally:
        for module, was_training in modes:
            module.train(was_training)
    return numbers(objective, {"": totals.merged(workers)})


def not_finite(row: Mapping[str, Any], isfinite: Callable[[float], bool]) -> str:
    """Names of the numbers of a row that are not finite, the objective's own only where no other is to blame."""
    named: Sequence[tuple[str, Any]] = [(name, value) for name, value in row.items() if isinstance(value, float)]
    parts = [row, *row.get("players", {}).values()]
    named = [*named, *(item for part in parts for item in part["terms"].items())]
    bad = dict.fromkeys(name for name, value in named if not isfinite(value))
    blamed = [name for name in bad if name not in ("objective", "elbo", "ratio")]
    return ", ".join(blamed) or ("objective" if bad else "")
