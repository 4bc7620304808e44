"""Subsets: drawn by seed over the whole split, in every class, in their own order; those of a file stay in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genzoo.errors import UsageError
from genzoo.interfaces import Dataset, RunView
from genzoo.options import NoOptions
from genzoo.parts.mapped import map_images
from genzoo.recipe import TrainOptions
from genzoo.runs.load import splits
from genzoo.subsets import subset_rows
from genzoo.testing.bench import reference_model
from genzoo.types import ImageSpec, Split


def by_class(counts: list[int]) -> torch.Tensor:
    """Labels sorted by class."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize(
    ("counts", "n", "expected"),
    [
        ([20, 20, 20], 12, [4, 4, 4]),
        ([900, 100], 10, [9, 1]),
        ([990, 10], 20, [19, 1]),
        ([910, *[10] * 9], 100, [91, *[1] * 9]),
        ([1000, *[1] * 9], 20, [11, *[1] * 9]),
        ([3, 1], 3, [2, 1]),
        ([5, 5], 10, [5, 5]),
        ([5, 5], 99, [5, 5]),
    ],
)
def test_every_class_is_drawn_in_proportion(counts: list[int], n: int, expected: list[int]) -> None:
    labels = by_class(counts)
    for seed in range(3):
        rows = subset_rows(len(labels), n, seed, labels)
        assert labels[rows].bincount(minlength=len(counts)).tolist() == expected
        assert torch.equal(rows, rows.unique())


def test_quotas_hold_for_any_counts() -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        counts = torch.randint(1, 60, (int(torch.randint(1, 30, (), generator=generator)),), generator=generator)
        total = int(counts.sum())
        n = int(torch.randint(1, total + 1, (), generator=generator))
        labels = by_class(counts.tolist())
        for leave in (False, True):
            drawn = labels[subset_rows(total, n, 3, labels, leave=leave)].bincount(minlength=len(counts))
            assert int(drawn.sum()) == n
            assert bool((drawn <= counts).all())
            if n >= len(counts) and not leave:
                assert bool((drawn >= 1).all())
            if leave and n <= total - len(counts):
                assert bool((drawn < counts).all())


def test_fewer_images_than_classes_are_of_different_classes() -> None:
    labels = by_class([5] * 10)
    drawn = [labels[subset_rows(50, 3, seed, labels)].tolist() for seed in range(5)]
    assert all(len(set(some)) == 3 for some in drawn)
    assert len({tuple(some) for some in drawn}) > 1


def test_without_labels_the_whole_range_is_drawn_from() -> None:
    rows = subset_rows(1000, 100, 0)
    assert len(rows.unique()) == 100
    assert abs(float(rows.double().mean()) - 500) < 100
    assert torch.equal(rows, subset_rows(1000, 100, 0))
    assert not torch.equal(rows, subset_rows(1000, 100, 1))


def test_labels_that_are_large_cost_nothing() -> None:
    labels = torch.tensor([0, 10**15, -(10**15)]).repeat_interleave(4)
    assert labels[subset_rows(12, 3, 0, labels)].unique().tolist() == [-(10**15), 0, 10**15]


@pytest.fixture(params=[1 << 20, 1000], ids=["held whole", "read image by image"])
def mapped(tmp_path: Path, request: pytest.FixtureRequest) -> Split:
    stored = torch.randint(256, (60, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (tmp_path / "images.u8").write_bytes(stored.numpy().tobytes())
    images, pages = map_images(tmp_path / "images.u8", (60, 1, 8, 8), held=request.param)
    return Split(images, by_class([20, 20, 20]), torch.arange(60)[:, None], pages)


def test_a_subset_of_a_file_stays_in_the_file_and_reads_as_if_in_memory(mapped: Split) -> None:
    memory = Split(mapped.images.clone(), mapped.labels, mapped.factors)
    one, other = mapped.subset(24, 5), memory.subset(24, 5)
    assert one.mapped
    assert len(one) == len(other) == 24
    for index in (None, slice(3, 9), torch.tensor([5, 0, 23]), torch.arange(24) % 2 == 0):
        a, b = one.batch(index), other.batch(index)
        assert torch.equal(a.image, b.image)
        assert a.label is not None
        assert b.label is not None
        assert torch.equal(a.label, b.label)
    assert torch.equal(one.images, other.images)
    twice, same = one.select(slice(2, 20)).subset(6, 1), other.select(slice(2, 20)).subset(6, 1)
    assert twice.mapped
    assert torch.equal(twice.images, same.images)
    assert twice.factors is not None
    assert same.factors is not None
    assert torch.equal(twice.factors, same.factors)
    assert torch.equal(one.select(torch.tensor([1, 4])).images, other.images[[1, 4]])
    assert one.subset(None) is one
    assert one.subset(100) is one


class Sorted(Dataset):
    """Data sorted by class: 3 classes, 20 training and 4 test images each; one of a rare class where asked."""

    def __init__(self, rare: bool = False, labelled: bool = True) -> None:
        super().__init__(NoOptions())
        self._rare, self._labelled = rare, labelled

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec((1, 2, 2), 4 if self._rare else 3)

    def split(self, name: str) -> Split:
        labels = by_class(([20] * 3 if name == "train" else [4] * 3) + [1] * self._rare)
        return Split(labels[:, None, None, None].expand(-1, 1, 2, 2) / 4, labels if self._labelled else None)


def counts_of(split: Split) -> list[int]:
    return (split.images[:, 0, 0, 0] * 4).long().bincount().tolist()


def test_limit_and_holdout_are_drawn_in_every_class() -> None:
    parts = splits(Sorted(), TrainOptions(limit=30, holdout=6))
    assert {name: counts_of(part) for name, part in parts.items()} == {
        "train": [8, 8, 8],
        "test": [4, 4, 4],
        "holdout": [2, 2, 2],
    }


def test_without_labels_limit_and_holdout_are_drawn_over_the_whole_split() -> None:
    parts = splits(Sorted(labelled=False), TrainOptions(limit=40, holdout=12))
    assert len(parts["train"]) == 28
    assert len(parts["holdout"]) == 12
    assert all(count > 0 for part in parts.values() for count in counts_of(part))


def test_the_holdout_never_takes_the_last_image_of_a_class() -> None:
    parts = splits(Sorted(rare=True), TrainOptions(holdout=40))
    assert counts_of(parts["train"])[3] == 1
    assert sum(counts_of(parts["train"])) == 21


def test_the_run_seed_draws_and_another_seed_draws_others() -> None:
    class Numbered(Sorted):
        def split(self, name: str) -> Split:
            split = super().split(name)
            return Split(torch.arange(len(split))[:, None, None, None].expand(-1, 1, 2, 2) / 64, split.labels)

    def held(seed: int) -> torch.Tensor:
        return splits(Numbered(), TrainOptions(holdout=12, seed=seed))["holdout"].images

    assert torch.equal(held(1), held(1))
    assert not torch.equal(held(1), held(2))
    parts = splits(Numbered(), TrainOptions(holdout=12))
    both = torch.cat([parts["train"].images, parts["holdout"].images])[:, 0, 0, 0]
    assert len(both.unique()) == 60


def test_a_holdout_of_everything_is_refused() -> None:
    with pytest.raises(UsageError, match="below the number of training images, 10, got 10"):
        splits(Sorted(), TrainOptions(limit=10, holdout=10))


def test_figures_and_metrics_see_every_class() -> None:
    view = RunView("sorted", reference_model(), Sorted(), {name: Sorted().split(name) for name in ("train", "test")})
    for seed in (0, 1):
        seen = replace(view, seed=seed)
        assert seen.batch(6, "train").label.bincount().tolist() == [2, 2, 2]  # type: ignore[union-attr]
        assert torch.equal(seen.batch(6).image, view.batch(6).image), "the same images whatever the run's seed"
        batches = list(seen.batches(2, 6, "train"))
        assert torch.equal(torch.cat([batch.image for batch in batches]), seen.batch(6, "train").image)
        shuffled = seen.shuffled(9, "train").label
        assert shuffled is not None
        assert shuffled.bincount().tolist() == [3, 3, 3]
        assert not torch.equal(shuffled, shuffled.sort().values)
