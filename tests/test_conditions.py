"""A label may be a vector of conditions, such as the attributes of a face, beside a class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import genzoo
from genzoo.errors import IncompatibleError, UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces.model import check_label
from genzoo.parts.labels import condition, condition_size
from genzoo.testing import check_component
from genzoo.types import ImageSpec, Split

FACES = ImageSpec((1, 8, 8), conditions=("odd", "large", "round"))
QUICK = {"network": "mlp", "epochs": 1, "limit": 64, "progress": False}


@pytest.fixture
def attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set `digits` with three attributes of each digit in place of its class."""
    kind = host().get("dataset", "digits").load()  # type: ignore[arg-type]
    spec, split = kind.spec.fget, kind.split

    def described(self: object, name: str) -> Split:
        found = split(self, name)
        digit = found.labels
        given = torch.stack([digit % 2 == 1, digit > 4, (digit == 0) | (digit == 8)], 1)
        return replace(found, labels=given.float())

    monkeypatch.setattr(
        kind,
        "spec",
        property(lambda self: replace(spec(self), classes=None, class_names=None, conditions=FACES.conditions)),
    )
    monkeypatch.setattr(kind, "split", described)


def test_a_network_reads_a_class_as_one_hot_and_conditions_as_they_are() -> None:
    vector = torch.tensor([[0.0, 1.0, 0.5]])
    assert torch.equal(condition(vector, FACES), vector)
    assert condition_size(FACES) == 3
    assert torch.equal(condition(torch.tensor([1]), ImageSpec((1, 8, 8), classes=3)), torch.tensor([[0.0, 1.0, 0.0]]))
    assert condition_size(ImageSpec((1, 8, 8))) == 0


@pytest.mark.parametrize("label", [torch.tensor([1]), torch.zeros(1, 2), torch.zeros(1, 3, dtype=torch.int64)])
def test_another_label_is_refused(label: torch.Tensor) -> None:
    with pytest.raises(UsageError, match=r"label must be float \[\*, 3\], one number per condition"):
        check_label(label, FACES)


def test_images_are_drawn_without_regard_to_conditions() -> None:
    split = Split(torch.zeros(20, 1, 2, 2), torch.rand(20, 3))
    rows = split.rows(7)
    assert torch.equal(rows, Split(torch.zeros(20, 1, 2, 2)).rows(7))
    assert torch.equal(split.subset(7).batch().label, split.labels[rows])


@pytest.mark.usefixtures("attributes")
def test_a_conditional_model_trains_on_conditions_and_samples_those_asked_for(tmp_path: Path) -> None:
    run = genzoo.run("cvae", data="digits", viz=["samples", "reconstructions", "interpolation"], out=tmp_path, **QUICK)
    drawn = {"samples.png", "reconstructions.png", "interpolation.png"}
    assert drawn <= {path.name for path in run.folder.figures.iterdir()}
    loaded = genzoo.load(str(run.path))
    one = loaded.sample(2, label=[[1, 0, 0], [0, 1, 1.0]], seed=1)
    assert torch.equal(one[0], loaded.sample(2, label=[1, 0, 0], seed=1)[0])
    assert not torch.equal(one[1], loaded.sample(2, label=[1, 0, 0], seed=1)[1])
    with pytest.raises(UsageError, match="label must be given"):
        loaded.sample(2)
    with pytest.raises(UsageError, match=r"3 numbers per sample \(odd, large, round\)"):
        loaded.sample(2, label=np.zeros((2, 4)))


@pytest.mark.usefixtures("attributes")
def test_what_needs_classes_is_refused_and_the_contract_holds(tmp_path: Path) -> None:
    for name in ("class-swap", "class-grid", "class-interpolation", "class-traversal", "style-transfer"):
        with pytest.raises(IncompatibleError, match=f"{name} needs labels"):
            genzoo.run("cvae", data="digits", viz=name, out=tmp_path, **QUICK)
    with pytest.raises(UsageError, match="the dataset must have labels"):
        genzoo.run("cvae", data="digits", viz="traversal", out=tmp_path, **QUICK)
    assert not list(tmp_path.iterdir())
    report = check_component(host().get("dataset", "digits"), only=["labels-as-specified"])  # type: ignore[arg-type]
    assert report.ok, report.results
