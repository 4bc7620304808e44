"""What visualizers and metrics take of a run's images, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from genzoo.compose.build import build
from genzoo.compose.plan import plan
from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces.view import RunView
from genzoo.recipe import parse_recipe
from genzoo.runs.load import make_view, splits
from genzoo.testing.bench import View

PARTS = {"dataset": {"name": "digits"}, "network": {"name": "mlp", "options": {"hidden": [4]}}}


@pytest.fixture(scope="module")
def view() -> RunView:
    made = build(plan(parse_recipe({"model": {"name": "vae"}, **PARTS}, "test"), host()))
    parts = splits(made.dataset, made.plan.train)
    bytes_ = {name: replace(part, images=(part.images * 255).to(torch.uint8)) for name, part in parts.items()}
    return make_view(made, bytes_, None)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each conversion to floats was of."""
    counts: list[int] = []
    genuine = torch.Tensor.float

    def count(self: torch.Tensor, *arguments: Any) -> torch.Tensor:
        if self.dtype == torch.uint8:
            counts.append(len(self))
        return genuine(self, *arguments)

    monkeypatch.setattr(torch.Tensor, "float", count)
    return counts


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        (lambda view: [view.batch(3)], [3]),
        (lambda view: [view.batch(3, "train")], [3]),
        (lambda view: [view.shuffled(5)], [5]),
        (lambda view: list(view.batches(4, 10)), [4, 4, 2]),
        (lambda view: [next(view.batches(7))], [7]),
    ],
)
def test_only_the_images_asked_for_are_converted(
    view: RunView, converted: list[int], take: Callable[[RunView], list[Any]], expected: list[int]
) -> None:
    assert [len(batch) for batch in take(view)] == expected
    assert converted == expected


def test_batches_make_up_the_split(view: RunView) -> None:
    whole = view.batch()
    parts = list(view.batches(100))
    assert len(whole) == len(view.split("test")) == sum(map(len, parts))
    assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
    assert torch.equal(torch.cat([part.label for part in parts if part.label is not None]), whole.label)  # type: ignore[arg-type]
    assert len(view.batch(10**9)) == len(whole)
    assert [len(part) for part in view.batches(10**9, 10**9)] == [len(whole)]


def test_a_split_that_is_not_there_is_refused(view: RunView) -> None:
    for take in (lambda: view.batch(1, "holdout"), lambda: next(view.batches(1, split="holdout"))):
        with pytest.raises(UsageError, match="split must be one of"):
            take()


def test_a_view_limited_to_what_a_plugin_declares_refuses_the_rest_by_name():
    view = View.of()
    test_alone = view.limited_to(frozenset({"test"}))
    assert list(test_alone.splits) == ["test"]
    assert test_alone is view.limited_to(frozenset({"test"}))
    assert len(test_alone.split()) == len(view.split())
    for read in (
        lambda: test_alone.split("train"),
        lambda: test_alone.batch(1, "train"),
        lambda: test_alone.splits["train"],
    ):
        with pytest.raises(UsageError, match=r"declares to read, \['test'\], got 'train'"):
            read()
    assert view.limited_to(None) is view
    assert view.limited_to(frozenset({"train", "test"})) is view
