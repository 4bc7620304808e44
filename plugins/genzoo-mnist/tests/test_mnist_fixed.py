"""The published binarization: read from the user's files, checked, and refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genzoo.cli import execute
from genzoo.errors import CorruptError, UsageError
from genzoo_mnist import fixed
from genzoo_mnist.mnist import Mnist
from genzoo_mnist.options import MnistOptions

COUNTS = {"train": 6, "valid": 3, "test": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three files with a few images each."""
    monkeypatch.setattr(fixed, "COUNTS", COUNTS)
    for name in COUNTS:
        np.savetxt(tmp_path / f"binarized_mnist_{name}.amat", pixels(name), fmt="%d")
    return tmp_path


def pixels(name: str) -> np.ndarray:
    return np.random.default_rng(len(name)).integers(0, 2, (COUNTS[name], 784))


def data(folder: Path | str, **options: object) -> Mnist:
    return Mnist(MnistOptions.model_validate({"binarize": "fixed", "fixed": str(folder), **options}))


def test_training_images_are_followed_by_those_of_validation_and_none_has_a_label(folder: Path) -> None:
    found = data(folder)
    train, test = found.split("train"), found.split("test")
    assert (found.spec.levels, found.spec.classes) == (2, None)
    assert (train.labels, test.labels) == (None, None)
    assert train.images.dtype == torch.uint8
    expected = np.concatenate([pixels("train"), pixels("valid")])
    np.testing.assert_array_equal(train.images.flatten(1).numpy(), expected * 255)
    np.testing.assert_array_equal(test.images.flatten(1).numpy(), pixels("test") * 255)


def test_pixels_stay_as_they_are_in_training(folder: Path) -> None:
    found = data(folder)
    image = found.split("train").batch().image
    assert torch.equal(found.transform(image, training=True), image)


@pytest.mark.parametrize("ending", ["\r\n", " \n", "\n\n"])
def test_line_endings_do_not_matter(folder: Path, ending: str) -> None:
    path = folder / "binarized_mnist_test.amat"
    path.write_bytes(path.read_bytes().replace(b"\n", ending.encode()))
    np.testing.assert_array_equal(data(folder).split("test").images.flatten(1).numpy(), pixels("test") * 255)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-100], "must hold 4 images of 784 pixels, got 3086 pixels"),
        (lambda text: b"", "must hold 4 images of 784 pixels, got 0 pixels"),
        (lambda text: text.replace(b"1", b"2", 1), "zeros and ones apart by spaces alone, got byte 50"),
        (lambda text: b"<html>" + text, "zeros and ones apart by spaces alone, got byte 60 at 0"),
        (lambda text: text.replace(b" ", b"", 1), "got digits side by side"),
        (lambda text: text.replace(b"\n", b" ", 1), "one image of 784 pixels per line, got a line of 1568"),
    ],
)
def test_a_damaged_file_is_refused(folder: Path, spoil: object, message: str) -> None:
    path = folder / "binarized_mnist_test.amat"
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CorruptError, match=message) as caught:
        data(folder).split("test")
    assert caught.value.exit_code == 4
    assert path.name in caught.value.message


def test_files_that_are_not_there_are_named(folder: Path) -> None:
    (folder / "binarized_mnist_valid.amat").unlink()
    with pytest.raises(UsageError, match=r"without binarized_mnist_valid\.amat"):
        data(folder)
    with pytest.raises(UsageError, match="got none"):
        data("")


@pytest.mark.parametrize("how", ["none", "static", "dynamic", "threshold"])
def test_files_that_nothing_would_read_are_refused(folder: Path, how: str) -> None:
    with pytest.raises(UsageError, match=f"with binarize = fixed alone, got binarize = {how}"):
        data(folder, binarize=how)


def test_a_run_reads_them_and_a_conditional_model_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data.binarize", "fixed", "--data.fixed", str(folder), "--network", "mlp", "--network.hidden", "8"]
    run = [*options, "--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "runs"), "--viz", "training-curves"]
    assert execute(["run", "vae", *run]) == 0
    assert execute(["run", "cvae", *run]) == 2
    assert execute(["run", "vae", "--data.binarize", "fixed", "--dry-run"]) == 2
    assert "Add --data.fixed FOLDER" in capsys.readouterr().err
