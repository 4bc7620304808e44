"""What a run says of its data before it trains, and keeps in its record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from genzoo.cli import execute
from genzoo.interfaces import Dataset
from genzoo.options import NoOptions
from genzoo.parts.described import split_line
from genzoo.recipe import TrainOptions
from genzoo.runs.find import all_runs
from genzoo.runs.load import splits
from genzoo.training.found import found_data
from genzoo.types import ImageSpec, Split

RUN = shlex.split("run vae --network mlp --network.hidden 4 --epochs 1 --batch-size 8 --device cpu --precision fp32")


class Small(Dataset):
    """Data sorted by class, of which the third has no training image."""

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec((1, 2, 2), 3, class_names=("cat", "dog", "emu"))

    def split(self, name: str) -> Split:
        labels = torch.tensor([0] * 6 + [1] * 4 if name == "train" else [0, 1, 2, 2])
        seed = torch.Generator().manual_seed(len(labels))
        return Split(torch.rand(len(labels), 1, 2, 2, generator=seed), labels)


class Telling(Small):
    """Says where it comes from."""

    def describe(self) -> Sequence[str]:
        return ["small: from nowhere."]

    def warnings(self) -> Sequence[str]:
        return ["small: 2 files passed over."]


def test_splits_are_said_with_their_classes_and_those_without_training_images_warned_of() -> None:
    dataset, train = Small(NoOptions()), TrainOptions()
    found = found_data(dataset, splits(dataset, train), train)
    assert found.lines == (
        "train: 10 images of 1×2×2; 3 classes (cat: 6, dog: 4, emu: 0)",
        "test: 4 images of 1×2×2; 3 classes (cat: 1, dog: 1, emu: 2)",
    )
    assert found.warnings == ("1 of 3 classes have no training image: emu.",)


def test_a_data_set_says_more_and_a_limit_says_what_is_used() -> None:
    dataset = Telling(NoOptions())
    whole, limited = TrainOptions(), TrainOptions(limit=5, holdout=2)
    assert found_data(dataset, splits(dataset, whole), whole).lines == ("small: from nowhere.",)
    found = found_data(dataset, splits(dataset, limited), limited)
    assert found.lines[1:] == (
        "used for train: 3 images of 1×2×2; 3 classes (cat: 2, dog: 1, emu: 0)",
        "used for test: 4 images of 1×2×2; 3 classes (cat: 1, dog: 1, emu: 2)",
        "used for holdout: 2 images of 1×2×2; 3 classes (cat: 1, dog: 1, emu: 0)",
    )
    assert found.warnings[0] == "small: 2 files passed over."


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("a", 1, ImageSpec((3, 4, 5))), "a: 1 image of 3×4×5; no labels"),
        (("a", 9, ImageSpec((1, 4, 5), 1), [9]), "a: 9 images of 1×4×5; 1 class (0: 9)"),
    ],
)
def test_a_split_in_a_line(arguments: tuple[str, int, ImageSpec, list[int]], line: str) -> None:
    assert split_line(*arguments) == line


def test_many_classes_are_summed_up() -> None:
    line = split_line("train", 300, ImageSpec((1, 2, 2), 100), [3] * 99 + [1])
    assert line.endswith("19: 3, and 80 more of 1 to 3 images)")


def test_it_is_printed_before_training_and_kept_in_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.repeat(np.arange(3), 10)
    file = tmp_path / "d.npz"
    images = np.random.default_rng(0).integers(256, size=(30, 8, 8), dtype=np.uint8)
    np.savez(file, images=images, labels=labels, extra=labels)
    data = ["--data", "npz", "--data.path", str(file)]
    assert execute([*RUN, *data, "--out", str(tmp_path / "runs")]) == 0
    said = capsys.readouterr().err
    lines = [
        "train: 24 images of 1×8×8; 3 classes (0: 8, 1: 8, 2: 8)",
        "test: 6 images of 1×8×8; 3 classes (0: 2, 1: 2, 2: 2)",
    ]
    warning = "npz: passed over the arrays extra."
    assert said.index(lines[0]) < said.index(lines[1]) < said.index(warning) < said.index("epoch 1/1")
    assert said.count(warning) == 1
    record = json.loads((next(all_runs(tmp_path / "runs")).path / "run.json").read_text(encoding="utf-8"))
    assert record["found"] == {"lines": lines, "warnings": [warning]}
    assert execute([*RUN, *data, "--out", str(tmp_path / "runs"), "--dry-run"]) == 0
    assert warning in capsys.readouterr().out


def test_labels_that_are_refused_leave_no_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "d.npz"
    np.savez(file, images=np.zeros((30, 8, 8), np.uint8), labels=np.repeat(np.arange(3), 10) * 10**9)
    assert execute([*RUN, "--data", "npz", "--data.path", str(file), "--out", str(tmp_path / "runs")]) == 2
    assert "without a gap" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


class Given(Dataset):
    """The images that it is given, and other ones to test."""

    def __init__(self, train: torch.Tensor, test: torch.Tensor) -> None:
        super().__init__(NoOptions())
        self.parts = {"train": train, "test": test}

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec((1, 4, 4))

    def split(self, name: str) -> Split:
        return Split(self.parts[name])


def drawn(n: int, seed: int) -> torch.Tensor:
    return torch.randint(256, (n, 1, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def warnings_of(train: torch.Tensor, test: torch.Tensor) -> tuple[str, ...]:
    dataset = Given(train, test)
    return found_data(dataset, {name: dataset.split(name) for name in ("train", "test")}, TrainOptions()).warnings


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (drawn(50, 0) // 128, "has 1 of 255"),
        (drawn(50, 0) // 16, "has 15 of 255"),
        (drawn(50, 0) / 255 / 255, "has 0.00392 of 1"),
        (drawn(50, 0) * 0, "is 0, which is black"),
        (drawn(50, 0), ""),
        (drawn(50, 0) / 255, ""),
        (drawn(50, 0) // 4 + 1, ""),
    ],
)
def test_images_that_are_almost_black_are_warned_of(images: torch.Tensor, said: str) -> None:
    other = images.flip(0) if said else images.flip(3)
    warned = [text for text in warnings_of(images[:25], other[:25]) if "pixel that" in text]
    assert len(warned) == bool(said)
    assert all(said in text for text in warned)


@pytest.mark.parametrize(("shared", "said"), [(0, False), (1, False), (2, True), (100, True)])
def test_test_images_that_are_training_images_are_counted(shared: int, said: bool) -> None:
    train, test = drawn(300, 1), drawn(100, 2)
    test[:shared] = train[100 : 100 + shared]
    warned = [text for text in warnings_of(train, test) if "training images too" in text]
    assert len(warned) == said
    assert all(text.startswith(f"{shared} of 100 test images") for text in warned)
    assert not [text for text in warnings_of(train / 255, drawn(100, 3) / 255) if "too" in text]
