"""The user's own images, and digits: what is read, and what is refused by name."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo.errors import CorruptError, UsageError
from genzoo.interfaces import Dataset
from genzoo_datasets.digits import Digits
from genzoo_datasets.image_folder import ImageFolder
from genzoo_datasets.npz import Npz
from genzoo_datasets.options import DigitsOptions, ImageFolderOptions, NpzOptions


def draw(file: Path, value: int | tuple[int, int, int] = 0, size: tuple[int, int] = (6, 5), mode: str = "L") -> Path:
    """A plain image of (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(file)
    return file


def folder(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(ImageFolderOptions(root=str(root), **options))


def npz(path: Path, options: dict[str, Any] | None = None, **arrays: Any) -> Npz:
    np.savez(path / "data.npz", **arrays)
    return Npz(NpzOptions(path=str(path / "data.npz"), **(options or {})))


def read_all(dataset: Dataset) -> None:
    for name in dataset.splits:
        dataset.split(name)


def test_digits_are_divided_by_a_seed() -> None:
    dataset = Digits(DigitsOptions())
    train, test = dataset.split("train"), dataset.split("test")
    assert (len(train), len(test)) == (1438, 359)
    assert sorted(set((train.images * 16).flatten().tolist())) == list(range(17))
    whole = torch.cat([train.images, test.images]).flatten(1)
    assert len(whole.unique(dim=0)) == 1797
    assert torch.equal(dataset.split("test").images, test.images)
    assert not torch.equal(Digits(DigitsOptions(split_seed=1)).split("test").images, test.images)
    assert len(Digits(DigitsOptions(test_fraction=0.5)).split("test")) == 898
    binary = Digits(DigitsOptions(binarize="static"))
    assert binary.spec.levels == 2
    assert binary.split("test").images.mean().item() == pytest.approx(test.images.mean().item(), abs=0.01)


def test_folder_of_classes(tmp_path: Path) -> None:
    for number in range(6):
        draw(tmp_path / "cat" / f"{number}.png", 10 + number)
        draw(tmp_path / "ant" / "deeper" / f"{number}.png", 100 + number)
    (tmp_path / "cat" / "notes.txt").write_text("no image", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    dataset = folder(tmp_path, test_fraction=0.25)
    assert dataset.spec.shape == (1, 5, 6)
    assert dataset.spec.class_names == ("ant", "cat")
    train, test = dataset.split("train"), dataset.split("test")
    assert (len(train), len(test)) == (9, 3)
    assert train.labels is not None
    assert test.labels is not None
    values = torch.cat([train.images, test.images])[:, 0, 0, 0].tolist()
    assert sorted(values) == [10, 11, 12, 13, 14, 15, 100, 101, 102, 103, 104, 105]
    assert [value < 50 for value in values] == [label == 1 for label in [*train.labels, *test.labels]]


def test_folder_with_its_own_splits(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "a" / "1.png", 1)
    draw(tmp_path / "train" / "b" / "2.png", 2)
    draw(tmp_path / "test" / "a" / "3.png", 3)
    with pytest.raises(UsageError, match="'b' in one alone"):
        folder(tmp_path).split("train")
    draw(tmp_path / "test" / "b" / "4.png", 4)
    test = folder(tmp_path).split("test")
    assert test.images[:, 0, 0, 0].tolist() == [3, 4]
    assert test.labels is not None
    assert test.labels.tolist() == [0, 1]


def test_folder_without_classes_and_in_colour(tmp_path: Path) -> None:
    for number in range(4):
        draw(tmp_path / f"{number}.jpg", (200, 100, 0), mode="RGB")
    dataset = folder(tmp_path)
    assert dataset.spec.shape == (3, 5, 6)
    assert dataset.spec.classes is None
    train = dataset.split("train")
    assert train.labels is None
    assert train.images[0].float().mean((1, 2)).tolist() == pytest.approx([200, 100, 0], abs=3)
    assert folder(tmp_path, channels=1).split("train").images.shape == (3, 1, 5, 6)


@pytest.mark.parametrize("ending", ["gif", "png", "bmp"])
@pytest.mark.parametrize(("colour", "channels"), [((90, 90, 90), 1), ((90, 60, 90), 3)])
def test_a_palette_of_greys_is_grey(tmp_path: Path, ending: str, colour: tuple[int, int, int], channels: int) -> None:
    for name in ("a", "b", "c", "d"):
        file = tmp_path / f"{name}.{ending}"
        image = Image.new("P", (6, 5))
        image.putpalette([0, 0, 0, *colour, 7, 7, 7])
        image.putdata([0, 1, 2] * 10)
        image.save(file)
    data = folder(tmp_path)
    assert data.spec.shape == (channels, 5, 6)
    assert sorted(data.split("train").images.unique().tolist()) == sorted({0, 7, *colour})


def test_images_of_unequal_size_are_refused_by_name_or_resized(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 50)
    odd = draw(tmp_path / "b.png", 70, size=(12, 9))
    with pytest.raises(UsageError, match=rf"5×6 pixels, got 9×12 in {odd}\. Set resize") as caught:
        read_all(folder(tmp_path, test_fraction=0.5))
    assert caught.value.exit_code == 2
    dataset = folder(tmp_path, resize=True, size=4, test_fraction=0.5)
    values = [int(dataset.split(name).images.unique()) for name in ("train", "test")]
    assert dataset.split("train").images.shape == (1, 1, 4, 4)
    assert sorted(values) == [50, 70]
    with pytest.raises(UsageError, match="must be 4×4 pixels"):
        folder(tmp_path, size=4).split("train")


@pytest.mark.parametrize("damage", ["truncated", "page", "empty"])
def test_damaged_image_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    for number in range(3):
        draw(tmp_path / "train" / f"{number}.png", number, size=(64, 64))
        draw(tmp_path / "test" / f"{number}.png", number, size=(64, 64))
    bad = tmp_path / "test" / "1.png"
    whole = bad.read_bytes()
    bad.write_bytes({"truncated": whole[: len(whole) // 2], "page": b"<html>", "empty": b""}[damage])
    with pytest.raises(CorruptError, match=rf"{bad} must be an image .* delete {bad}") as caught:
        folder(tmp_path).split("test")
    assert caught.value.exit_code == 4
    assert len(folder(tmp_path).split("train")) == 3


def test_sixteen_bit_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    draw(tmp_path / "plain.png", size=(4, 4))
    with pytest.raises(UsageError, match=r"8 bits a channel, got mode I;16 in .*deep\.png"):
        read_all(folder(tmp_path))


def test_folders_that_make_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="root must be a folder or an archive of images, got ''"):
        _ = ImageFolder(ImageFolderOptions()).spec
    with pytest.raises(UsageError, match="at least one image, got none"):
        _ = folder(tmp_path).spec
    draw(tmp_path / "one.png")
    with pytest.raises(UsageError, match="at least two"):
        folder(tmp_path).split("train")
    draw(tmp_path / "class" / "two.png")
    with pytest.raises(UsageError, match=r"one\.png beside 'class'"):
        folder(tmp_path).split("train")
    draw(tmp_path / "train" / "three.png")
    with pytest.raises(UsageError, match="got no test"):
        folder(tmp_path).split("train")


def test_one_image_a_split_is_enough(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "a.png")
    draw(tmp_path / "test" / "b.png")
    assert len(folder(tmp_path).split("train")) == len(folder(tmp_path).split("test")) == 1


def archive(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in members.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as packed:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", ["data.zip", "data.tar.gz"])
def test_archive_is_read_like_its_folder(tmp_path: Path, cache: Path, kind: str) -> None:
    image = draw(tmp_path / "image.png", 9).read_bytes()
    path = archive(tmp_path / kind, {f"train/{name}/1.png": image for name in "ab"} | {"test/a/1.png": image})
    with pytest.raises(UsageError, match="'b' in one alone"):
        folder(path).split("train")
    path = archive(tmp_path / kind, {f"{split}/{name}/1.png": image for split in ("train", "test") for name in "ab"})
    for _ in range(2):
        assert folder(path).split("train").images[:, 0, 0, 0].tolist() == [9, 9]
    assert len(list((cache / "unpacked").iterdir())) == 2


@pytest.mark.parametrize("kind", ["data.zip", "data.tar.gz"])
@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png", "C:evil.png"])
def test_archive_that_leads_outside_is_refused(tmp_path: Path, cache: Path, kind: str, name: str) -> None:
    image = draw(tmp_path / "image.png").read_bytes()
    path = archive(tmp_path / kind, {"good.png": image, name: image})
    with pytest.raises(CorruptError, match="must be plain files inside it") as caught:
        folder(path).split("train")
    assert caught.value.exit_code == 4
    assert not list(tmp_path.rglob("evil.png"))
    assert not list((cache / "unpacked").iterdir())


def test_link_in_an_archive_is_refused(tmp_path: Path, cache: Path) -> None:
    with tarfile.open(tmp_path / "data.tar", "w") as packed:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    with pytest.raises(CorruptError, match=r"got 'link\.png'"):
        folder(tmp_path / "data.tar").split("train")


def test_truncated_archive_is_refused(tmp_path: Path, cache: Path) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    path = archive(tmp_path / "data.tar.gz", {"a.png": noise})
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(CorruptError, match="must be a whole archive"):
        folder(path).split("train")
    assert not list((cache / "unpacked").iterdir())


@pytest.mark.parametrize("shape", [(10, 4, 5), (10, 4, 5, 1), (10, 1, 4, 5)])
def test_npz_layouts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.arange(200, dtype=np.uint8).reshape(shape)
    dataset = npz(tmp_path, images=images, labels=np.arange(10) % 3)
    assert dataset.spec.shape == (1, 4, 5)
    assert dataset.spec.classes == 3
    train, test = dataset.split("train"), dataset.split("test")
    assert (len(train), len(test)) == (8, 2)
    assert train.labels is not None
    # The first pixel is twenty times the index, whose label is known.
    assert [int(image.flatten()[0]) // 20 % 3 for image in train.images] == train.labels.tolist()
    rows = {int(image.flatten()[0]) for split in (train, test) for image in split.images}
    assert rows == set(range(0, 200, 20))


def test_npz_colour_layout(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((6, 4, 5, 3)).astype(np.float64)
    dataset = npz(tmp_path, train_images=images, test_images=images[:1])
    assert dataset.spec.shape == (3, 4, 5)
    assert dataset.spec.levels is None
    assert dataset.split("train").images.dtype == torch.float32
    np.testing.assert_allclose(dataset.split("train").images.permute(0, 2, 3, 1), images, rtol=1e-6)
    either = np.zeros((6, 3, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="Set layout"):
        npz(tmp_path, images=either).split("train")
    assert npz(tmp_path, {"layout": "channels-last"}, images=either).spec.shape == (3, 3, 4)
    assert npz(tmp_path, {"layout": "channels-first"}, images=either).spec.shape == (3, 4, 3)


def test_npz_factors_and_their_names(tmp_path: Path) -> None:
    factors = np.stack([np.arange(8) % 2, np.arange(8) // 2], 1)
    images = np.zeros((8, 4, 4), np.uint8)
    dataset = npz(tmp_path, images=images, factors=factors, factor_names=np.array(["shape", "place"]))
    assert dataset.factor_sizes == (2, 4)
    assert dataset.factor_names == ("shape", "place")
    train = dataset.split("train")
    assert train.factors is not None
    assert train.factors.shape == (6, 2)
    assert npz(tmp_path, images=images, factors=factors).factor_names == ("factor-1", "factor-2")
    assert npz(tmp_path, images=images).factor_sizes == ()


IMAGES = np.full((5, 4, 4), 0.5, np.float32)


def spoilt(index: int, value: float) -> np.ndarray:
    images = IMAGES.copy()
    images[index, 2, 1] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"train_images": spoilt(3, 1.5), "test_images": IMAGES}, {}, r"pixels must be in \[0, 1\].* at index 3"),
        ({"train_images": spoilt(2, -0.1), "test_images": IMAGES}, {}, r"pixels must be in \[0, 1\].* at index 2"),
        ({"train_images": spoilt(4, np.nan), "test_images": IMAGES}, {}, r"pixels must be in \[0, 1\].* at index 4"),
        ({"images": IMAGES, "labels": np.array([0, 1, -1, 0, 0])}, {}, "labels must be 0 or more, got -1 at index 2"),
        (
            {
                "train_images": IMAGES,
                "test_images": IMAGES,
                "train_labels": np.array([0, 1, 1, 4, 2]),
                "test_labels": np.array([0, 1, 1, 0, 2]),
            },
            {"classes": 3},
            r"labels must be in \[0, 3\), got 4 at index 3",
        ),
        ({"images": IMAGES, "labels": np.zeros(4, int)}, {}, "labels must be one a train image, 5, got 4"),
        ({"images": IMAGES, "labels": np.zeros(5)}, {}, r"labels must be integers \[N\], got float64"),
        ({"images": IMAGES, "factors": np.zeros(5, int)}, {}, r"factors must be integers \[N, F\]"),
        ({"images": np.zeros((5, 4), np.uint8)}, {}, r"got \[5, 4\]"),
        ({"images": np.zeros((5, 4, 4, 2), np.uint8)}, {}, "1 or 3 channels"),
        ({"images": np.zeros((5, 4, 4), np.int64)}, {}, "uint8 or float"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, {}, "at least two"),
        ({"train_images": IMAGES[:0], "test_images": IMAGES}, {}, "train split must hold at least one image"),
        ({"pictures": IMAGES}, {}, "must be images, or train_images and test_images, got pictures"),
        ({"train_images": IMAGES, "test_images": np.zeros((5, 3, 4))}, {}, r"test images must be \[1, 4, 4\]"),
    ],
)
def test_npz_that_breaks_a_rule(tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str) -> None:
    dataset = npz(tmp_path, options, **arrays)
    with pytest.raises(UsageError, match=message):
        read_all(dataset)


class Explosive:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("other", ["train", "test"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_splits_of_unlike_scales_are_refused(tmp_path: Path, other: str, dtype: str) -> None:
    arrays = {
        f"{split}_images": np.zeros((6, 4, 4), dtype if split == other else "uint8") for split in ("train", "test")
    }
    with pytest.raises(UsageError, match=f"both splits must be 8-bit, or both float.*{dtype}"):
        _ = npz(tmp_path, **arrays).spec
    alike = {"train_images": np.zeros((6, 4, 4), "float32"), "test_images": np.zeros((6, 4, 4), "float64")}
    assert npz(tmp_path, **alike).spec.levels is None


def test_npz_never_unpickles_and_refuses_damage(tmp_path: Path) -> None:
    objects = np.empty(2, object)
    objects[:] = Explosive()
    file = tmp_path / "data.npz"
    with pytest.raises(CorruptError, match="plain arrays"):
        npz(tmp_path, images=objects).split("train")
    npz(tmp_path, images=np.random.default_rng(0).random((50, 8, 8)))
    whole = bytearray(file.read_bytes())
    flipped = whole.copy()
    flipped[5000] ^= 1
    for content in (whole[: len(whole) // 2], flipped, b"<html>", b"", pickle.dumps(Explosive())):
        file.write_bytes(content)
        with pytest.raises(CorruptError, match=r"data\.npz must be (a whole|an) \.npz file") as caught:
            Npz(NpzOptions(path=str(file))).split("train")
        assert caught.value.exit_code == 4
    with pytest.raises(UsageError, match=r"path must be an \.npz file, got ''"):
        _ = Npz(NpzOptions()).spec


@pytest.mark.parametrize(("dataset", "options"), [(ImageFolder, ImageFolderOptions), (Npz, NpzOptions)])
def test_example_data_works(tmp_path: Path, dataset: Any, options: Any) -> None:
    made = dataset(options.model_validate(options.example(tmp_path)))
    assert made.spec.shape == (3, 8, 8)
    assert made.spec.classes == 2
    assert len(made.split("train")) + len(made.split("test")) == 20
