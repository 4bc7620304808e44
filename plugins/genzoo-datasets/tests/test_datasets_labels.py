"""Labels of an .npz file: classes by a stated rule and with their names, or refused before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genzoo.errors import UsageError
from genzoo_datasets.npz import Npz
from genzoo_datasets.options import NpzOptions

IMAGES = np.arange(40 * 16, dtype=np.uint8).reshape(40, 4, 4)
FOUR = np.repeat(np.arange(4), 10)


def npz(path: Path, options: dict[str, Any] | None = None, **arrays: Any) -> Npz:
    np.savez(path / "data.npz", **arrays)
    return Npz(NpzOptions(path=str(path / "data.npz"), **(options or {})))


def labels_of(dataset: Npz) -> torch.Tensor:
    found = [dataset.split(name).labels for name in ("train", "test")]
    return torch.cat([labels for labels in found if labels is not None])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (FOUR * 1_000_003, r"classes 0 to 3 without a gap, got 0, 1000003, 2000006, 3000009 \(no 1\)"),
        (FOUR + 1, r"without a gap, got 1, 2, 3, 4 \(no 0\)"),
        (FOUR + 2 * (FOUR > 1), r"got 0, 1, 4, 5 \(no 2\)"),
        (FOUR.astype(np.uint64) + np.uint64(2**63), r"\(no 0\)"),
        (np.arange(40), "classes of several images, got 40 different labels for 40 images"),
        (np.array([f"{number}.png" for number in range(40)]), "got 40 different labels for 40 images"),
        (FOUR - 1, "must be 0 or more, got -1 at index 0"),
        (FOUR.astype(float), r"integers \[N\], got float64 \[40\]\. Write labels\.astype\(int\)"),
        (FOUR[:, None], r"got int64 \[40, 1\]\. Write labels\.reshape\(-1\)"),
        (np.eye(4)[FOUR], r"got float64 \[40, 4\]\. Write labels\.argmax\(1\) if they are one-hot"),
        (FOUR.astype(complex), "must be integers"),
    ],
)
def test_labels_that_number_no_classes_are_refused_with_what_to_write(
    tmp_path: Path, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _ = npz(tmp_path, images=IMAGES, labels=labels).spec
    assert caught.value.hint


def test_a_class_without_images_is_allowed_where_it_is_meant(tmp_path: Path) -> None:
    labels = FOUR + (FOUR > 1)
    assert npz(tmp_path, {"classes": 6}, images=IMAGES, labels=labels).spec.classes == 6
    named = npz(tmp_path, images=IMAGES, labels=labels, class_names=np.array(list("abcde")))
    assert named.spec.class_names == tuple("abcde")
    with pytest.raises(UsageError, match=r"must be in \[0, 4\), got 4 at index 30"):
        _ = npz(tmp_path, images=IMAGES, labels=labels, class_names=np.array(list("abcd"))).spec


def test_words_are_classes_in_their_order_with_their_names(tmp_path: Path) -> None:
    words = np.array(["dog", "cat", "emu", "ant"])[FOUR]
    dataset = npz(tmp_path, images=IMAGES, labels=words)
    assert dataset.spec.class_names == ("ant", "cat", "dog", "emu")
    for name in ("train", "test"):
        split = dataset.split(name)
        assert split.labels is not None
        numbers = split.images[:, 0, 0, 0].long()
        for label, first in zip(split.labels.tolist(), numbers.tolist(), strict=True):
            places = np.flatnonzero(IMAGES[:, 0, 0] == first)
            assert dataset.spec.class_name(label) in words[places]
    other = npz(tmp_path, images=IMAGES, labels=words, class_names=np.array(["emu", "dog", "cat", "ant", "owl"]))
    assert other.spec.classes == 5
    assert labels_of(other).bincount(minlength=5).tolist() == [10, 10, 10, 10, 0]
    with pytest.raises(UsageError, match="among class_names, got 'emu'"):
        _ = npz(tmp_path, images=IMAGES, labels=words, class_names=np.array(["dog", "cat", "ant"])).spec


def test_truth_values_are_two_classes(tmp_path: Path) -> None:
    dataset = npz(tmp_path, images=IMAGES, labels=FOUR > 1)
    assert dataset.spec.class_names == ("False", "True")
    assert labels_of(dataset).bincount().tolist() == [20, 20]
    named = npz(tmp_path, images=IMAGES, labels=FOUR > 1, class_names=np.array(["young", "old"]))
    assert named.spec.class_names == ("young", "old")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"test_labels": FOUR[:8], "train_label": FOUR}, "got no train_labels among .*train_label"),
        ({"train_labels": FOUR}, "got no test_labels among"),
        ({"train_factors": FOUR[:, None]}, "got no test_factors among"),
        ({"train_labels": FOUR, "test_labels": np.array(["a"] * 8)}, "must be of one type, got int64, <U1"),
    ],
)
def test_labels_of_one_split_alone_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _ = npz(tmp_path, train_images=IMAGES, test_images=IMAGES[:8], **arrays).split("train")


@pytest.mark.parametrize("key", ["label", "targets", "y", "train_labels", "Labels"])
def test_an_array_that_is_not_read_is_named(tmp_path: Path, key: str) -> None:
    dataset = npz(tmp_path, images=IMAGES, **{key: FOUR})
    assert dataset.spec.classes is None
    assert dataset.warnings() == [f"npz: passed over the arrays {key}; labels are read from labels."]
    divided = npz(tmp_path, train_images=IMAGES, test_images=IMAGES[:8], labels=FOUR)
    assert divided.warnings() == [
        "npz: passed over the arrays labels; labels are read from train_labels and test_labels."
    ]
    labelled = npz(tmp_path, images=IMAGES, labels=FOUR, weights=FOUR)
    assert labelled.warnings() == ["npz: passed over the arrays weights."]


def test_nothing_grows_with_the_largest_factor(tmp_path: Path) -> None:
    factors = np.stack([FOUR, FOUR * 10**9], 1)
    with pytest.raises(UsageError, match="indices of values, fewer than the 40 images, got 3000000000"):
        npz(tmp_path, images=IMAGES, factors=factors).split("train")


def test_the_test_set_has_every_class(tmp_path: Path) -> None:
    labels = npz(tmp_path, images=IMAGES, labels=FOUR).split("test").labels
    assert labels is not None
    assert labels.bincount().tolist() == [2, 2, 2, 2]
