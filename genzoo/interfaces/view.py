"""What visualizers and metrics see of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from genzoo.errors import UsageError
from genzoo.interfaces.dataset import Dataset
from genzoo.interfaces.model import Model
from genzoo.interfaces.objective import Objective
from genzoo.types import Batch, ImageSpec, Report, Split


@dataclass(frozen=True)
class RunView:
    """A read-only view of a run: its model in eval mode, its data and its history.

    Args:
        title: For figure titles, such as ``"vae on mnist"``.
        model: In eval mode, gradients off, on ``device``; for a plugin whose ``on`` says so, another generator.
        dataset: The dataset, for its spec and factor names.
        splits: ``"train"`` and ``"test"``, limited as the run is.
        history: One row an epoch, the lines of metrics.jsonl whose ``kind`` is ``"epoch"``:
            ``epoch``, ``step``, ``seconds``, ``quantities`` (name → value, as ``beta`` and ``lr``), ``train`` and ``test``,
            each with ``objective``, ``distortion``, ``rate``, ``rates``, ``elbo``, ``ratio``.
        seed: Seed that every figure and number derives its randomness from.
        loss: The loss, None for a bare model.
        reports: The numbers that ``history`` holds, as the objective declared them; empty for a bare model.
    """

    title: str
    model: Model
    dataset: Dataset
    splits: Mapping[str, Split]
    history: Sequence[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    seed: int = 0
    loss: Objective | None = None
    reports: Sequence[Report] = ()
    _limited: dict[frozenset[str], RunView] = field(
        default_factory=dict["frozenset[str]", "RunView"], init=False, compare=False, repr=False
    )

    def limited_to(self, reads: Collection[str] | None) -> RunView:
        """The view with those splits alone, which a plugin declares as its ``reads``; any other is refused.

        The same view each time for the same splits; itself where nothing is left out, or ``reads`` is None.
        """
        if reads is None or set(self.splits) <= set(reads):
            return self
        key = frozenset(reads)
        if key not in self._limited:
            splits = _Declared(
                {name: split for name, split in self.splits.items() if name in key}, frozenset(self.splits)
            )
            self._limited[key] = replace(self, splits=splits)
        return self._limited[key]

    @property
    def image(self) -> ImageSpec:
        """What one image is."""
        return self.model.image

    @property
    def device(self) -> torch.device:
        """Where the model is; the CPU for a model without parameters."""
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            return tensor.device
        return torch.device("cpu")

    def split(self, name: str = "test") -> Split:
        """A split by name.

        Raises:
            UsageError: If it is absent or empty.
        """
        split = self.splits.get(name)
        if split is None and isinstance(self.splits, _Declared):
            self.splits.refuse(name)
        if split is None or len(split) == 0:
            raise UsageError(f"view: split must be one of {sorted(self.splits)} with images, got {name!r}.")
        return split

    def batch(self, n: int | None = None, split: str = "test") -> Batch:
        """``n`` images of a split, on the model's device, as the model is evaluated on them.

        They are drawn over the whole split and in every class, the same ones in every run; see `Split.subset`. Only they
        are read and made floats of; with no ``n`` that is the whole split, for which `batches` needs less memory.
        """
        chosen = self.split(split).subset(n)
        return self._evaluated(chosen, slice(0, len(chosen)))

    def batches(self, size: int, n: int | None = None, split: str = "test") -> Iterator[Batch]:
        """The images of `batch`, ``size`` at a time, the last batch partial."""
        chosen = self.split(split).subset(n)
        for start in range(0, len(chosen), size):
            yield self._evaluated(chosen, slice(start, min(start + size, len(chosen))))

    def shuffled(self, n: int, split: str = "test") -> Batch:
        """``n`` images in random order, drawn by the view's seed in every class; all when there are fewer."""
        whole = self.split(split)
        rows = whole.rows(n, self.seed)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))
        return self._evaluated(whole, rows[order])

    def _evaluated(self, whole: Split, index: slice | torch.Tensor) -> Batch:
        batch = whole.batch(index).to(self.device)
        return batch.with_image(self.dataset.transform(batch.image, training=False))


class _Declared(dict[str, Split]):
    """The splits that a plugin declares to read, which says so when it asks for another of the run's."""

    def __init__(self, splits: Mapping[str, Split], present: frozenset[str]) -> None:
        super().__init__(splits)
        self._present = present

    def refuse(self, name: str) -> None:
        if name in self._present:
            raise UsageError(
                f"view: split must be among those that the plugin declares to read, {sorted(self)}, got {name!r}.",
                f"Its author should add {name!r} to `reads`.",
            )

    def __missing__(self, name: str) -> Split:
        self.refuse(name)
        raise KeyError(name)
