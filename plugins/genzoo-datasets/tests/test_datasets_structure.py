"""How a folder or archive is laid out, what is passed over, and what is lost in reading it: understood, said or refused."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genzoo.errors import UsageError
from genzoo_datasets.image_folder import ImageFolder
from genzoo_datasets.inspection import inspect
from genzoo_datasets.options import ImageFolderOptions


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path_factory.mktemp("cache")))


def fill(root: Path, *places: str, count: int = 4, mode: str = "L") -> Path:
    """Different images in folders below ``root``."""
    for place in places:
        folder = root / place
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            value = (zlib.crc32(f"{place}/{number}".encode()) % 200) + 20
            Image.new(mode, (6, 5), value if mode == "L" else (value, 9, 0)).save(folder / f"{number}.png")
    return root


def folder(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(ImageFolderOptions(root=str(root), **options))


def sizes(dataset: ImageFolder) -> tuple[int, int]:
    return len(dataset.split("train")), len(dataset.split("test"))


def packed(root: Path, kind: str) -> Path:
    return Path(shutil.make_archive(str(root.parent / "packed"), kind, root.parent, root.name))


@pytest.mark.parametrize("kind", ["zip", "gztar"])
@pytest.mark.parametrize("level", ["", "extra/"])
def test_an_archive_of_a_folder_of_classes_has_its_classes(tmp_path: Path, kind: str, level: str) -> None:
    fill(tmp_path / "pics", f"{level}cat", f"{level}dog")
    dataset = folder(packed(tmp_path / "pics", kind))
    assert dataset.spec.class_names == ("cat", "dog")
    assert sum(sizes(dataset)) == 8
    assert "one folder pics is read as the whole" in "\n".join(dataset.describe())


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "Test"), ("TRAIN", "testing"), ("train", "val"), ("training", "Validation")],
)
def test_an_archive_with_splits_has_its_splits(tmp_path: Path, kind: str, train: str, test: str) -> None:
    fill(tmp_path / "pics" / train, "cat", "dog", count=5)
    fill(tmp_path / "pics" / test, "cat", "dog", count=2)
    dataset = folder(packed(tmp_path / "pics", kind))
    assert dataset.spec.class_names == ("cat", "dog")
    assert sizes(dataset) == (10, 4)
    told = "\n".join(dataset.describe())
    assert "train: 10 images of 1×5×6; 2 classes (cat: 5, dog: 5)" in told
    assert ("serves as the test set" in told) == (test.lower() not in ("test", "testing"))


def test_a_flat_archive_has_no_labels_and_a_folder_of_one_class_has_that_class(tmp_path: Path) -> None:
    fill(tmp_path / "pics", "")
    assert folder(packed(tmp_path / "pics", "zip")).spec.classes is None
    assert folder(tmp_path / "pics").spec.classes is None
    fill(tmp_path / "one", "cat")
    assert folder(tmp_path / "one").spec.class_names == ("cat",)


def test_levels_within_the_splits_are_read_as_the_splits(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "images" / "train" / "jpegs", "cat", "dog")
    fill(tmp_path / "data" / "images" / "test", "cat", "dog")
    (tmp_path / "data" / "about.pages").write_text("no image", encoding="utf-8")
    (tmp_path / "__MACOSX").mkdir()
    dataset = folder(tmp_path)
    assert dataset.spec.class_names == ("cat", "dog")
    assert sizes(dataset) == (8, 8)
    (warning,) = dataset.warnings()
    assert "1 hidden folders" in warning
    assert "1 .pages" in warning


def test_a_validation_set_beside_a_test_set_is_not_used_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "train/a", "train/b", "test/a", "test/b", "val/a", "val/b", "spare")
    Image.new("L", (6, 5)).save(tmp_path / "loose.png")
    dataset = folder(tmp_path)
    assert sizes(dataset) == (8, 8)
    (warning,) = dataset.warnings()
    assert "13 images beside train and test" in warning


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("train/a", "cat/a"), "must hold both train and test or neither, got no test beside train"),
        (("test/a", "test/b"), "got no train beside test"),
        (("cat", "dog", "valid"), "got no train beside valid"),
        (("train/a", "Training/a", "test/a"), "must hold one train set, got Training and train"),
        (("seg_train/a", "seg_test/a"), "got seg_train and seg_test, which may be either.* Rename them"),
        (("images-training", "images-validation"), "which may be either"),
        (
            ("cat/train", "cat/test", "dog/train", "dog/test"),
            r"must hold no splits, got test and train in .*cat\. Set root",
        ),
        (("annotations", "images/train/a", "images/val/a"), r"got train and val in .*images\. Set root to .*images"),
        (("train/cat", "train/dog", "test/Cat", "test/dog"), "same classes, got 'Cat' in one alone"),
    ],
)
def test_an_unclear_layout_is_refused_with_what_to_write(tmp_path: Path, places: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        _ = folder(fill(tmp_path, *places)).spec
    assert caught.value.hint


def test_what_is_passed_over_is_counted_and_named_once(tmp_path: Path) -> None:
    fill(
        tmp_path, "cat", "dog", "cat/.checkpoints", "dog/deep/.git/objects", "cat/deep/__MACOSX", ".hidden", "dog/more"
    )
    for name in ("cat/a.heic", "cat/b.HEIC", "cat/notes.txt", "dog/README", "labels.csv", "cat/.dot.png", ".DS_Store"):
        (tmp_path / name).write_text("no image", encoding="utf-8")
    (tmp_path / "bird").mkdir()
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.txt").write_text("no image", encoding="utf-8")
    dataset = folder(tmp_path)
    assert dataset.spec.class_names == ("cat", "dog")
    assert sum(sizes(dataset)) == 12
    (warning,) = dataset.warnings()
    for told in (
        "4 hidden folders",
        "1 hidden files",
        "6 files that do not end as an image",
        "2 .heic",
        "2 folders without images",
    ):
        assert told in warning
    assert dataset.warnings() == [warning]


@pytest.mark.parametrize("lose", ["unread", "hidden", "broken"])
def test_a_class_that_lost_all_its_images_is_refused(tmp_path: Path, lose: str) -> None:
    fill(tmp_path, "cat", "dog", "lost" if lose == "none" else "lost/.hidden" if lose == "hidden" else "cat")
    (tmp_path / "lost").mkdir(exist_ok=True)
    if lose == "unread":
        (tmp_path / "lost" / "1.heic").write_bytes(b"")
    elif lose == "broken":
        (tmp_path / "lost" / "1.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match=r"folder .*lost must hold images that are read, got none\. Passed over: 1 "):
        _ = folder(tmp_path).spec


def test_links_are_followed_and_each_file_is_taken_once(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", "x", "y", count=10)
    root = fill(tmp_path / "pics", "c1", "c2", count=3)
    (root / "c1" / "more").symlink_to(store / "x")
    (root / "c3").symlink_to(store / "y")
    (root / "c1" / "again.png").symlink_to(root / "c1" / "0.png")
    (root / "c1" / "loop").symlink_to(root)
    (root / "c2" / "self").symlink_to(root / "c2")
    (root / "c2" / "broken.png").symlink_to(root / "nowhere.png")
    os.link(root / "c2" / "1.png", root / "c2" / "hard.png")
    dataset = folder(root)
    assert dataset.spec.class_names == ("c1", "c2", "c3")
    assert sum(sizes(dataset)) == 26
    (warning,) = dataset.warnings()
    for told in (
        "2 links to a folder above them",
        "1 links that lead nowhere",
        "2 links to an image that is there already",
        "Followed: 3 links",
    ):
        assert told in warning


@pytest.mark.parametrize("other", ["pics/dog/twin.png", "pics/dog/deep"])
def test_one_file_in_two_classes_is_refused(tmp_path: Path, other: str) -> None:
    fill(tmp_path / "pics", "cat", "dog")
    target = tmp_path / "pics" / "cat" / "1.png"
    (tmp_path / other).symlink_to(target if other.endswith("png") else target.parent)
    with pytest.raises(UsageError, match=r"one class and one split, got .* which are one file"):
        _ = folder(tmp_path / "pics").spec


def test_one_file_in_two_splits_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "train")
    (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(UsageError, match="which are one file"):
        _ = folder(tmp_path).spec


def png(pixels: np.ndarray, colour: int) -> bytes:
    """A PNG of 16 bits a channel."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_tiff(path: Path) -> bytes:
    Image.fromarray(np.full((5, 6), 40_000, np.uint16)).save(path, "tiff")
    return path.read_bytes()


DEEP: dict[str, Callable[[Path], bytes]] = {
    "rgb.png": lambda _: png(np.full((5, 6, 3), 4000), 2),
    "rgba.png": lambda _: png(np.full((5, 6, 4), 4000), 6),
    "grey.png": lambda _: png(np.full((5, 6), 4000), 0),
    "grey-alpha.png": lambda _: png(np.full((5, 6, 2), 4000), 4),
    "grey.tiff": lambda path: deep_tiff(path),
    "rgb.ppm": lambda _: b"P6\n6 5\n65535\n" + bytes(5 * 6 * 3 * 2),
    "grey.pgm": lambda _: b"P5\n6 5\n1023\n" + bytes(5 * 6 * 2),
}


@pytest.mark.parametrize("name", list(DEEP))
def test_more_than_eight_bits_are_refused_in_every_form(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "")
    (tmp_path / name).write_bytes(DEEP[name](tmp_path / name))
    with pytest.raises(UsageError, match=rf"8 bits a channel, got .* in .*{name}\. Convert it to 8 bits"):
        _ = folder(tmp_path).spec


def test_fewer_than_eight_bits_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6\n6 5\n15\n" + bytes([15]) * 90)
    (tmp_path / "b.pgm").write_bytes(b"P5\n6 5\n255\n" + bytes([255]) * 30)
    Image.new("1", (6, 5), 1).save(tmp_path / "c.png")
    dataset = folder(tmp_path)
    assert {int(dataset.split(name).images.min()) for name in ("train", "test")} == {255}


def hidden_colour(mode: str) -> Image.Image:
    """The left half opaque and dark, the right half transparent over another colour."""
    pixels = np.zeros((5, 6, 4), np.uint8)
    pixels[:, :3] = [10, 10, 10, 255]
    pixels[:, 3:] = [200, 200, 200, 0]
    image = Image.fromarray(pixels)
    if mode == "P":
        palette = Image.new("P", (6, 5))
        palette.putpalette([10, 10, 10, 200, 0, 200])
        palette.paste(1, (3, 0, 6, 5))
        palette.info["transparency"] = 1
        return palette
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "ending"), [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("RGBA", "webp")]
)
def test_what_is_transparent_is_laid_on_white_with_one_warning(tmp_path: Path, mode: str, ending: str) -> None:
    fill(tmp_path, "", count=2, mode="RGB")
    options = {"transparency": 1} if mode == "P" else {"lossless": True} if ending == "webp" else {}
    for number in range(3):
        hidden_colour(mode).save(tmp_path / f"see-through-{number}.{ending}", **options)
    dataset = folder(tmp_path, test_fraction=0.01)
    images = dataset.split("train").images
    seen = images[(images[:, :, :, 3:] == 255).flatten(1).all(1)]
    assert len(seen) >= 2
    assert seen[:, :, :, :3].unique().tolist() == [10]
    (warning,) = [text for text in dataset.warnings() if "transparent" in text]
    assert "3 images have an alpha channel" in warning


def test_further_pages_and_inks_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "", mode="RGB")
    frames = [Image.new("RGB", (6, 5), (value, 0, 0)) for value in (50, 100, 150)]
    for name in ("pages.tiff", "frames.gif", "frames.png", "frames.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "one.tiff")
    Image.new("CMYK", (6, 5), (0, 255, 0, 0)).save(tmp_path / "ink.jpg")
    told = "\n".join(folder(tmp_path).warnings())
    assert "4 images have further pages or frames: the first of each is read" in told
    assert "1 image has the colours of ink" in told


@pytest.mark.parametrize("grey_first", [True, False])
def test_one_image_in_colour_makes_all_colour_whichever_comes_first(tmp_path: Path, grey_first: bool) -> None:
    fill(tmp_path, "a" if grey_first else "b", mode="L")
    fill(tmp_path, "b" if grey_first else "a", mode="RGB")
    dataset = folder(tmp_path)
    assert dataset.spec.shape[0] == 3
    (warning,) = dataset.warnings()
    assert "4 images have grey levels and 4 colours: all are read in colour" in warning
    grey = folder(tmp_path, channels=1)
    assert grey.spec.shape[0] == 1
    assert any("4 images have colours: they are turned grey" in text for text in grey.warnings())


def test_images_of_one_kind_warn_of_nothing(tmp_path: Path) -> None:
    assert folder(fill(tmp_path, "cat", "dog")).warnings() == []


def test_what_many_headers_say_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genzoo_datasets.inspection._MANY", 3)
    fill(tmp_path, "")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    first = inspect(paths, "0" * 64, "image-folder")
    assert first.grey == 4
    for path in paths:
        Path(path).unlink()
    assert inspect(paths, "0" * 64, "image-folder") == first
    assert inspect(paths, "1" * 64, "image-folder").grey == 0


def test_rare_classes_are_divided_and_never_lost_for_training(tmp_path: Path) -> None:
    fill(tmp_path, "common", count=30)
    fill(tmp_path, "rare", count=2)
    fill(tmp_path, "single", count=1)
    dataset = folder(tmp_path)
    for name, expected in (("train", [24, 1, 1]), ("test", [6, 1, 0])):
        labels = dataset.split(name).labels
        assert labels is not None
        assert labels.bincount(minlength=3).tolist() == expected
