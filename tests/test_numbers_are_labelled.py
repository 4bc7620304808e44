"""Labels of numbers: a protocol says what was done, and a unit belongs to its number."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genzoo.host.plugin_host import host
from genzoo.interfaces import Metric, RunView
from genzoo.testing.building import extreme_views
from genzoo.testing.checking import NotApplicable
from genzoo.training.draw import measure
from genzoo.types import Kind, Split

METRICS = [component.name for component in host().components(Kind.METRIC)]


def limited(name: str, count: int | None) -> tuple[Metric, RunView]:
    """A metric at the size of a test, and a run whose test split has only so many images of 40."""
    found = host().get(Kind.METRIC, name)
    options = found.options_class()
    metric = found.load()(options(**options.tiny))
    try:
        view = extreme_views(metric, sizes=(96, 40))[0]
    except NotApplicable as error:
        pytest.skip(str(error))
    splits = {**view.splits, "test": view.split().subset(count)}
    return metric, RunView(view.title, view.model, view.dataset, splits, view.history, view.seed, view.loss)


@pytest.mark.parametrize("name", METRICS)
def test_no_protocol_says_all_of_a_part(name: str) -> None:
    metric, view = limited(name, 24)
    (result,) = measure({name: metric}, view).values()
    if "error" in result:
        pytest.skip(result["error"])
    assert "all test images" not in result["protocol"]
    assert "all 24" not in result["protocol"]
    if "test images" in result["protocol"] and "accuracy on real test images" not in result["protocol"]:
        assert " of 40 " in result["protocol"]


@pytest.mark.parametrize("name", METRICS)
def test_every_number_has_a_unit_of_its_own(name: str) -> None:
    metric, view = limited(name, None)
    (result,) = measure({name: metric}, view).values()
    if "error" in result:
        pytest.skip(result["error"])
    assert result["units"].keys() == result["values"].keys()
    counted = {"images", "usage", "judge", "normalised"} & result["values"].keys()
    assert all(result["units"][key] not in {"nats", "codes", "squared feature units"} for key in counted)


def test_a_codebooks_numbers_have_codes_shares_and_nats_per_code_side_by_side() -> None:
    metric, view = limited("codebook-perplexity", None)
    (result,) = measure({"codebook-perplexity": metric}, view).values()
    assert result["units"] == {
        "codebook-perplexity": "codes",
        "usage": "",
        "unigram": "nats per code",
        "prior": "nats per code",
    }


@pytest.mark.parametrize(
    ("draws", "told"), [((), "all 40"), ((24,), "24 of 40"), ((30, 10), "10 of 40"), ((50,), "all 40")]
)
def test_a_split_knows_how_many_of_how_many_it_holds(draws: tuple[int, ...], told: str) -> None:
    split: Any = Split(torch.zeros(40, 1, 2, 2))
    for count in draws:
        split = split.subset(count)
    assert split.count == told
    assert split.to("cpu").count == told
