"""The embedded MNIST: what it holds, how fast it is read, and what happens when a file is damaged."""

from __future__ import annotations

import gzip
import shutil
import time
from pathlib import Path

import pytest
import torch

from genzoo.errors import CorruptError, UsageError
from genzoo_mnist import mnist
from genzoo_mnist.mnist import Mnist
from genzoo_mnist.options import MnistOptions


def test_test_split_is_the_published_one() -> None:
    test = Mnist(MnistOptions()).split("test")
    assert test.images.dtype == torch.uint8
    assert test.images.shape == (10_000, 1, 28, 28)
    assert test.labels is not None
    assert torch.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    grey = test.batch().image
    assert (grey.min(), grey.max()) == (0, 1)
    # Pixel variance of the test set, known from the literature to three digits.
    assert grey.var().item() == pytest.approx(0.0964, abs=5e-4)


def test_train_split_is_read_in_under_a_second() -> None:
    dataset = Mnist(MnistOptions())
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        train = dataset.split("train")
        seconds.append(time.perf_counter() - start)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert train.labels is not None
    assert torch.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert min(seconds) < 1


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in mnist.DATA.glob("t10k-*.gz"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(mnist, "DATA", tmp_path)
    return tmp_path / "t10k-labels-idx1-ubyte.gz"


def test_damaged_file_is_refused_by_name(copied: Path) -> None:
    whole = copied.read_bytes()
    flipped = bytearray(whole)
    flipped[100] ^= 1
    for content in (whole[:-10], bytes(flipped), b"<html>not found</html>", b"", gzip.compress(b"zeros")):
        copied.write_bytes(content)
        with pytest.raises(
            CorruptError, match=r"sha256 sum of .*t10k-labels-idx1-ubyte\.gz .*Install genzoo-mnist again"
        ) as caught:
            Mnist(MnistOptions()).split("test")
        assert caught.value.exit_code == 4


def test_absent_file_is_refused_by_name(copied: Path) -> None:
    copied.unlink()
    with pytest.raises(CorruptError, match=r"t10k-labels-idx1-ubyte\.gz must exist"):
        Mnist(MnistOptions()).split("test")


def test_unknown_split_is_refused() -> None:
    with pytest.raises(UsageError, match="one of train, test, got 'valid'"):
        Mnist(MnistOptions()).split("valid")


def test_binarized_test_set_is_fixed_and_has_the_grey_mean() -> None:
    grey = Mnist(MnistOptions()).split("test").batch(slice(0, 1000)).image
    for how in ("static", "dynamic"):
        dataset = Mnist(MnistOptions.model_validate({"binarize": how}))
        assert dataset.spec.levels == 2
        binary = dataset.split("test").batch(slice(0, 1000)).image
        assert set(binary.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(binary, dataset.split("test").batch(slice(0, 1000)).image)
        assert torch.equal(binary, dataset.transform(binary, training=False))
        assert binary.mean().item() == pytest.approx(grey.mean().item(), abs=1e-3)
