"""Runs that note which of their splits are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from genzoo.interfaces import Dataset, RunView
from genzoo.options import NoOptions
from genzoo.types import ImageSpec, Split


class _Watched(Mapping[str, Split]):
    """Splits that note which of them was read."""

    def __init__(self, splits: Mapping[str, Split], read: set[str]) -> None:
        self._splits = splits
        self._read = read

    def __getitem__(self, name: str) -> Split:
        found = self._splits[name]
        self._read.add(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def __contains__(self, name: object) -> bool:
        return name in self._splits


class _WatchedData(Dataset):
    """A dataset that notes which split was read."""

    def __init__(self, of: Dataset, read: set[str]) -> None:
        super().__init__(NoOptions())
        self._of = of
        self._read = read
        self.factor_names, self.factor_sizes = of.factor_names, of.factor_sizes

    @property
    def spec(self) -> ImageSpec:
        return self._of.spec

    def split(self, name: str) -> Split:
        self._read.add(name)
        return self._of.split(name)

    def render(self, factors: Any) -> Split | None:
        return self._of.render(factors)


def watched(view: RunView) -> tuple[RunView, set[str]]:
    """The view, and the names of the splits that are read from it or its dataset from now on."""
    read: set[str] = set()
    return replace(view, splits=_Watched(view.splits, read), dataset=_WatchedData(view.dataset, read)), read


class _OtherSplit(_WatchedData):
    """A dataset with one split replaced."""

    def __init__(self, of: Dataset, name: str, split: Split) -> None:
        super().__init__(of, set())
        self._name, self._split = name, split

    def split(self, name: str) -> Split:
        return self._split if name == self._name else super().split(name)


def with_split(view: RunView, name: str, split: Split) -> RunView:
    """The view with another split of that name, in the dataset too."""
    return replace(view, splits={**view.splits, name: split}, dataset=_OtherSplit(view.dataset, name, split))
