"""CIFAR-10 and CelebA from tiny archives of the same layout: fetched, kept, damaged, absent, and under the contract."""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tarfile
import threading
import time
import types
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CelebA

from genzoo.errors import CorruptError, UsageError
from genzoo.testing import check_component
from genzoo.testing.pytest_contract import installed
from genzoo_datasets import cifar10, fetch
from genzoo_datasets.celeba import PAGE, Celeba
from genzoo_datasets.cifar10 import Cifar10
from genzoo_datasets.options import Attribute, CelebaOptions, FetchedOptions

ATTRIBUTES = get_args(Attribute)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "kept"))
    return tmp_path / "kept"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def cifar_records(number: int) -> np.ndarray:
    random = np.random.default_rng(number)
    records = random.integers(256, size=(20, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(20) % 10
    records[:, 1:] = records[:, 1:] // 2 + 14 * records[:, :1]  # a class is told by its brightness
    return records


def cifar_archive(
    names: tuple[str, ...] = ("test_batch", "data_batch_5", *(f"data_batch_{n}" for n in range(1, 5))),
) -> bytes:
    """The members in no order, as in the real one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            number = int(name[-1]) if name[-1].isdigit() else 0
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            content = cifar_records(number).tobytes()
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a small archive that a local server hands out in place of the real one."""
    folder = tmp_path / "server"
    folder.mkdir()
    content = cifar_archive()
    (folder / cifar10.ARCHIVE).write_bytes(content)
    monkeypatch.setattr(cifar10, "MD5", md5(content))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz")
        yield folder
        server.shutdown()


def test_cifar10_is_fetched_once_then_read(served: Path, kept: Path) -> None:
    train = Cifar10(FetchedOptions()).split("train")
    shutil.rmtree(served)
    test = Cifar10(FetchedOptions()).split("test")
    assert [path.name for path in (kept / "CIFAR10").iterdir()] == [cifar10.ARCHIVE]
    expected = np.concatenate([cifar_records(number) for number in range(1, 6)])
    assert train.labels is not None
    assert np.array_equal(train.images.numpy().reshape(100, -1), expected[:, 1:])
    assert train.labels.tolist() == expected[:, 0].tolist()
    assert torch.equal(test.images[3, 1, 2], torch.from_numpy(cifar_records(0)[3, 1 + 1024 + 64 :][:32].copy()))
    spec = Cifar10(FetchedOptions()).spec
    assert (spec.shape, spec.classes, spec.class_name(9)) == ((3, 32, 32), 10, "truck")


def test_cifar10_offline_says_what_to_fetch_and_where(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    start = time.monotonic()
    with pytest.raises(CorruptError) as caught:
        Cifar10(FetchedOptions()).split("test")
    assert time.monotonic() - start < 10
    assert caught.value.hint == f"Fetch http://127.0.0.1:9/{cifar10.ARCHIVE} and put them into {kept / 'CIFAR10'}."
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("damage", ["truncated", "page", "short", "absent"])
def test_cifar10_damaged_archive_is_refused_and_named(
    served: Path, kept: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cifar10(FetchedOptions()).split("test")
    file = kept / "CIFAR10" / cifar10.ARCHIVE
    whole = file.read_bytes()
    file.write_bytes({"truncated": whole[:-99], "page": b"<!DOCTYPE html>"}.get(damage, whole))
    if damage in {"short", "absent"}:
        # One that was made so: its sum is right.
        monkeypatch.setattr(cifar10, "_RECORD", 3074) if damage == "short" else file.write_bytes(cifar_archive(()))
        monkeypatch.setattr(cifar10, "MD5", md5(file.read_bytes()))
    with pytest.raises(CorruptError, match=rf"cifar10: .*Delete {file}"):
        Cifar10(FetchedOptions()).split("test")


def face(number: int) -> bytes:
    """A plain JPEG of CelebA's size with a brighter middle of 148×148."""
    pixels = np.full((218, 178, 3), 10, np.uint8)
    pixels[35:183, 15:163] = 60 + 10 * number
    pixels[120:183, 15:163, 0] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


FACES = {f"{number + 1:06}.jpg": face(number) for number in range(12)}
PARTS = dict(zip(FACES, [0] * 7 + [1] * 2 + [2] * 3, strict=True))


def celeba_files() -> dict[str, bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("img_align_celeba/", "")
        for name, content in FACES.items():
            archive.writestr(f"img_align_celeba/{name}", content)
    partition = "".join(f"{name} {part}\n" for name, part in PARTS.items())
    rows = [
        f"{name} " + " ".join(" 1" if (index + row) % 3 == 0 else "-1" for index in range(40))
        for row, name in enumerate(FACES)
    ]
    attributes = "\n".join([str(len(FACES)), " ".join(ATTRIBUTES) + " ", *rows]) + "\n"
    return {
        "img_align_celeba.zip": packed.getvalue(),
        "list_eval_partition.txt": partition.encode(),
        "list_attr_celeba.txt": attributes.encode(),
    }


@pytest.fixture
def celeba(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of CelebA's files, small ones."""
    folder = kept / "celeba"
    folder.mkdir(parents=True)
    files = celeba_files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(CelebA, "file_list", [(f"id-{name}", md5(content), name) for name, content in files.items()])
    return folder


def options(**values: Any) -> CelebaOptions:
    return CelebaOptions.model_validate(values)


def test_celeba_is_cropped_scaled_and_divided_as_published(celeba: Path) -> None:
    dataset = Celeba(options(cache="always"))
    train, test = dataset.split("train"), dataset.split("test")
    assert train.mapped
    assert (len(train), len(test)) == (7, 3)
    assert dataset.spec.shape == (3, 64, 64)
    assert dataset.spec.classes is None
    assert train.labels is None
    # The middle of 148×148 and nothing of the dark rim, in the order of the file names.
    assert train.images[:, 1].amin((1, 2)).tolist() == pytest.approx([60 + 10 * number for number in range(7)], abs=5)
    assert test.images[:, 1].amin((1, 2)).tolist() == pytest.approx([150, 160, 170], abs=5)
    assert int(train.images[0, 0, :30].max()) < 80
    assert int(train.images[0, 0, 45:].min()) > 190
    whole = Celeba(options(crop=178)).split("test")
    assert int(whole.images[0, :, 0].max()) < 20
    assert Celeba(options(size=32)).split("test").images.shape == (3, 3, 32, 32)


def test_celeba_labels_are_an_attribute(celeba: Path) -> None:
    dataset = Celeba(options(attribute="Smiling"))
    assert dataset.spec.class_names == ("not Smiling", "Smiling")
    column = ATTRIBUTES.index("Smiling")
    labels = {name: dataset.split(name).labels for name in ("train", "test")}
    for name, rows in (("train", range(7)), ("test", range(9, 12))):
        found = labels[name]
        assert found is not None
        assert found.dtype == torch.int64
        assert found.tolist() == [int((column + row) % 3 == 0) for row in rows]


def test_celeba_archive_and_folder_give_the_same(celeba: Path) -> None:
    stored = {cache: Celeba(options(cache=cache)).split("train").images for cache in ("always", "never")}
    with zipfile.ZipFile(celeba / "img_align_celeba.zip") as archive:
        archive.extractall(celeba)
    (celeba / "img_align_celeba.zip").unlink()
    unpacked = {cache: Celeba(options(cache=cache)).split("train").images for cache in ("always", "never")}
    for images in (stored["never"], *unpacked.values()):
        assert torch.equal(images, stored["always"])
    (celeba / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(CorruptError, match=r"000003\.jpg must exist"):
        Celeba(options()).split("train")


def test_celeba_cached_needs_its_archive_no_more_than_by_name(celeba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Celeba(options(cache="always")).split("train").images.clone()

    def refuse(*_: Any) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("genzoo_datasets.celeba._check", refuse)
    assert torch.equal(Celeba(options(cache="always")).split("train").images, first)


def spoil(path: Path, content: Callable[[bytes], bytes]) -> None:
    path.write_bytes(content(path.read_bytes()))


@pytest.mark.parametrize("file", ["img_align_celeba.zip", "list_eval_partition.txt", "list_attr_celeba.txt"])
@pytest.mark.parametrize("cache", ["always", "never"])
def test_celeba_damaged_file_is_refused_and_named(celeba: Path, file: str, cache: str) -> None:
    spoil(celeba / file, lambda whole: whole[:-20])
    with pytest.raises(CorruptError, match=rf"celeba: {celeba / file} must be the published .* Delete {celeba / file}"):
        Celeba(options(cache=cache, attribute="Male")).split("train")
    spoil(celeba / file, lambda whole: b"<html>")
    with pytest.raises(CorruptError, match="a web page"):
        Celeba(options(cache=cache, attribute="Male")).split("train")


def test_celeba_damaged_member_is_refused_and_named(celeba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = celeba / "img_align_celeba.zip"
    at = archive.read_bytes().index(FACES["000002.jpg"]) + 900
    spoil(archive, lambda whole: whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    monkeypatch.setattr(CelebA, "file_list", [(a, md5((celeba / c).read_bytes()), c) for a, _, c in CelebA.file_list])
    with pytest.raises(CorruptError, match=rf"000002\.jpg in {archive} must be an image"):
        Celeba(options()).split("train")


def test_celeba_small_images_are_refused_by_name(celeba: Path) -> None:
    (celeba / "img_align_celeba").mkdir()
    for name in FACES:
        Image.new("RGB", (100, 120)).save(celeba / "img_align_celeba" / name)
    with pytest.raises(UsageError, match=r"crop must be at most 100, as .*000001\.jpg is 120×100, got 148"):
        Celeba(options()).split("train")


def test_celeba_offline_says_what_to_fetch_and_where(kept: Path, celeba: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (celeba / "img_align_celeba.zip").unlink()
    (celeba / "list_attr_celeba.txt").unlink()
    monkeypatch.setattr(fetch, "_reachable", lambda url: False)
    start = time.monotonic()
    with pytest.raises(CorruptError, match=r"got neither \(no connection\)") as caught:
        Celeba(options()).split("test")
    assert time.monotonic() - start < 10
    assert caught.value.exit_code == 4
    # The attributes are not asked for where no label is.
    assert caught.value.hint == f"Fetch img_align_celeba.zip from {PAGE} and put them into {celeba}."


def test_celeba_is_fetched_through_torchvision(
    kept: Path, celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    celeba.rename(away)
    monkeypatch.setattr(fetch, "_reachable", lambda url: True)
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(CorruptError, match="'gdown' is required"):
        Celeba(options()).split("test")

    def download(*, id: str, output: str, **_: Any) -> str:
        shutil.copy(away / id.removeprefix("id-"), output)
        return output

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=download))
    assert len(Celeba(options()).split("test")) == 3
    assert sorted(path.name for path in celeba.iterdir()) == ["img_align_celeba.zip", "list_eval_partition.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "celeba"])
def test_contract_with_data_at_hand(served: Path, celeba: Path, name: str) -> None:
    """The whole contract, which is blocked where the real data is not there."""
    Cifar10(FetchedOptions()).split("test")  # fetched; the contract itself uses no network
    (component,) = installed(f"dataset/{name}")
    report = check_component(component)
    assert report.ok, [item for item in report.results if item.status == "failed"]
    assert not report.with_status("blocked")
