"""Values per image: what a metric may return beside numbers, how it is kept, and the paired difference of two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from genzoo.cli import execute
from genzoo.errors import CorruptError, UsageError
from genzoo.interfaces import Measurement, Metric, PerImage, RunView
from genzoo.interfaces.measurement import fingerprints
from genzoo.options import NoOptions
from genzoo.runs.folder import RunFolder
from genzoo.runs.per_image import keep, paired, read
from genzoo.testing.building import extreme_views
from genzoo.training.draw import measure


class Plain(Metric):
    unit = "nats"

    @property
    def protocol(self) -> str:
        return "as it was asked for"

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        return {"": 1.5, "share": 0.5}


class Rich(Plain):
    def evaluate(self, run: RunView) -> Mapping[str, float]:
        images = run.batch().image
        value = images.flatten(1).double().sum(1)
        return Measurement(
            {"": value.mean().item(), "share": 0.5, "code": 2.0},
            units={"share": "", "code": "nats per code"},
            protocol=f"{len(images)} of 1000 images",
            warnings=["most of them are alike"],
            per_image=PerImage(value, torch.arange(len(images)), fingerprints(images)),
        )


@pytest.fixture
def view() -> RunView:
    return extreme_views(Plain(NoOptions()), sizes=(8, 6))[0]


def folder(path: Path, value: Sequence[float], image: Sequence[int]) -> RunFolder:
    """A run with these values per image of the metric nll."""
    path.mkdir()
    (path / "config.toml").write_text('[model]\nname = "vae"\n', encoding="utf-8")
    run = RunFolder(path)
    found = PerImage(
        torch.tensor(value, dtype=torch.float64), torch.arange(len(value)), torch.tensor(image, dtype=torch.int64)
    )
    kept = keep({"nll": {"values": {"nll": float(np.mean(value))}, "unit": "nats", "per_image": found}}, run)
    run.write_record({"schema": 1, "status": "finished", "title": "made up", "metrics": kept})
    return run


def test_plain_numbers_have_the_unit_and_the_protocol_of_their_metric(view: RunView) -> None:
    (result,) = measure({"key": Plain(NoOptions())}, view).values()
    assert result == {
        "values": {"key": 1.5, "share": 0.5},
        "units": {"key": "nats", "share": "nats"},
        "protocol": "as it was asked for",
        "unit": "nats",
    }


def test_a_measurement_says_units_what_was_done_and_what_to_heed(view: RunView, tmp_path: Path) -> None:
    (result,) = keep(measure({"key": Rich(NoOptions())}, view), RunFolder(tmp_path)).values()
    assert result["units"] == {"key": "nats", "share": "", "code": "nats per code"}
    assert result["protocol"] == "6 of 1000 images"
    assert result["warnings"] == ["most of them are alike"]
    assert result["per_image"] == "metrics/key.npz"
    json.dumps(result)
    RunFolder(tmp_path).write_record({"metrics": {"key": result}})
    stored = read(RunFolder(tmp_path), "key")
    assert stored is not None
    assert stored["value"].mean() == result["values"]["key"]


def test_a_measurement_equals_its_numbers_and_refuses_units_of_what_is_not_there() -> None:
    assert Measurement({"": 1.0}) == {"": 1.0}
    with pytest.raises(UsageError, match=r"units must be of numbers that are measured, got \['nats'\]"):
        Measurement({"": 1.0}, units={"nats": "nats"})
    with pytest.raises(UsageError, match="must each be"):
        PerImage(torch.zeros(3), torch.arange(2), torch.arange(3))


def test_fingerprints_tell_images_apart_and_know_them_again() -> None:
    images = torch.rand(50, 1, 4, 4)
    assert len(set(fingerprints(images).tolist())) == 50
    assert torch.equal(fingerprints(images)[7:9], fingerprints(images[7:9].double()))
    changed = images.clone()
    changed[3, 0, 0, 0] += 0.25
    assert (fingerprints(changed) != fingerprints(images)).nonzero().flatten().tolist() == [3]


def test_images_are_paired_by_what_they_are_and_not_by_their_place(tmp_path: Path) -> None:
    """The difference has the error of the differences, which is far below that of either mean."""
    random = np.random.default_rng(0)
    base, apart = random.normal(90, 20, 400), random.normal(0.5, 0.1, 400)
    order = random.permutation(400)
    one = folder(tmp_path / "one", (base + apart).tolist(), list(range(400)))
    other = folder(tmp_path / "other", base[order].tolist(), order.tolist())
    found = paired(one, other, "nll")
    assert found is not None
    assert found.all_images
    assert found.mean == pytest.approx(apart.mean())
    assert found.standard_error == pytest.approx(apart.std(ddof=1) / 20)
    assert found.standard_error < 0.01 < base.std() / 20


def test_only_images_of_both_are_paired_and_doubles_once_each(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", [1.0, 2.0, 3.0, 9.0], [7, 7, 5, 1])
    other = folder(tmp_path / "other", [0.0, 1.0, 4.0], [5, 7, 7])
    found = paired(one, other, "nll")
    assert found is not None
    assert (found.images, found.of, found.all_images) == (3, (4, 3), False)
    assert found.mean == pytest.approx(((1 - 1) + (2 - 4) + (3 - 0)) / 3)


def test_runs_without_values_or_with_other_images_have_no_paired_difference(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", [1.0], [1]), folder(tmp_path / "other", [1.0], [2])
    assert paired(one, other, "nll") is None
    assert paired(one, other, "elbo") is None
    # What a later measurement left behind no longer counts once the record does not name it.
    other.write_record({"schema": 1, "metrics": {"nll": {"values": {"nll": 1.0}}}})
    assert read(other, "nll") is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    run = folder(tmp_path / "one", [1.0, 2.0], [1, 2])
    path = run.path / "metrics" / "nll.npz"
    if damage is None:
        np.savez(path, value=np.zeros(3), index=np.arange(2), image=np.arange(3))
    else:
        path.write_bytes(damage)
    with pytest.raises(CorruptError, match=r"nll\.npz"):
        read(run, "nll")


def test_compare_prints_the_paired_difference_and_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "one", [90.0, 80.0, 100.0], [1, 2, 3])
    folder(tmp_path / "two", [91.0, 82.0, 103.0], [1, 2, 3])
    names = [str(tmp_path / name) for name in ("one", "two")]
    assert execute(["runs", "compare", *names]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("nll less the first's"))
    assert "+2 ± 0.58 (3 images)" in line
    assert execute(["runs", "compare", *names, "--json"]) == 0
    found = cast(dict[str, Any], json.loads(capsys.readouterr().out))["paired"]["nll"][0]
    assert (found["mean"], found["images"]) == (2.0, 3)
