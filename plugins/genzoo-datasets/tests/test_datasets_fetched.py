"""Datasets that are fetched: from a local server, from the cache, with damage, and without a network."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from genzoo.errors import CorruptError, StorageError
from genzoo_datasets import fetch
from genzoo_datasets.fashion_mnist import FashionMnist
from genzoo_datasets.kmnist import Kmnist
from genzoo_datasets.options import FetchedOptions

SIZES = {"train": 20, "t10k": 7}


def idx(values: torch.Tensor) -> bytes:
    header = bytes([0, 0, 8, values.dim()]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(header + values.numpy().tobytes())


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of four small files that a local server hands out in place of the real ones."""
    folder = tmp_path / "server"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    resources = []
    for prefix, count in SIZES.items():
        images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", torch.arange(count).to(torch.uint8) % 10)):
            file = f"{prefix}-{name}-ubyte.gz"
            (folder / file).write_bytes(idx(values))
            resources.append((file, hashlib.md5((folder / file).read_bytes()).hexdigest()))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for source in (torchvision.datasets.FashionMNIST, torchvision.datasets.KMNIST):
            monkeypatch.setattr(source, "resources", resources)
            monkeypatch.setattr(source, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
        yield folder
        server.shutdown()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine takes no connection.
    for source in (torchvision.datasets.FashionMNIST, torchvision.datasets.KMNIST):
        monkeypatch.setattr(source, "mirrors", ["http://127.0.0.1:9/"])


@pytest.mark.parametrize(("dataset", "folder"), [(FashionMnist, "FashionMNIST"), (Kmnist, "KMNIST")])
def test_fetched_once_then_read_from_the_cache(
    served: Path, tmp_path: Path, dataset: type[FashionMnist], folder: str
) -> None:
    test = dataset(FetchedOptions()).split("test")
    assert test.images.shape == (7, 1, 28, 28)
    assert test.labels is not None
    assert test.labels.tolist() == [0, 1, 2, 3, 4, 5, 6]
    kept = tmp_path / "cache" / folder / "raw"
    assert sorted(file.name for file in kept.iterdir()) == sorted(file.name for file in served.iterdir())
    shutil.rmtree(served)
    train = dataset(FetchedOptions()).split("train")
    assert train.images.shape == (20, 1, 28, 28)
    spec = dataset(FetchedOptions()).spec
    assert spec.class_names is not None
    assert len(spec.class_names) == spec.classes == 10


def test_root_is_where_the_files_are_kept(served: Path, tmp_path: Path) -> None:
    FashionMnist(FetchedOptions(root=str(tmp_path / "mine"))).split("test")
    assert (tmp_path / "mine" / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte.gz").is_file()
    assert not (tmp_path / "cache").exists()


def test_offline_with_nothing_kept_says_what_to_fetch_and_where(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    start = time.monotonic()
    with pytest.raises(CorruptError) as caught:
        Kmnist(FetchedOptions()).split("test")
    assert time.monotonic() - start < 10
    text = str(caught.value)
    for file in served.iterdir():
        assert f"http://127.0.0.1:9/{file.name}" in text
    assert f"put them into {tmp_path / 'cache' / 'KMNIST' / 'raw'}" in text
    assert caught.value.exit_code == 4


def test_a_server_that_never_answers_is_given_up(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        start = time.monotonic()
        with pytest.raises(CorruptError, match="timed out"):
            Kmnist(FetchedOptions()).split("test")
        assert time.monotonic() - start < 3
    assert socket.getdefaulttimeout() is None


def test_a_name_look_up_that_hangs_is_given_up(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.2)
    released = threading.Event()

    def hang(*args: object, **options: object) -> None:
        released.wait(5)
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(CorruptError, match="no connection"):
        Kmnist(FetchedOptions()).split("test")
    assert time.monotonic() - start < 2
    released.set()


def test_second_mirror_is_tried(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors = ["http://127.0.0.1:9/", *torchvision.datasets.KMNIST.mirrors]
    monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", mirrors)
    assert len(Kmnist(FetchedOptions()).split("test")) == 7


@pytest.mark.parametrize("damage", ["truncated", "page", "other"])
def test_damaged_kept_file_is_refused_and_named(served: Path, tmp_path: Path, damage: str) -> None:
    FashionMnist(FetchedOptions()).split("test")
    file = tmp_path / "cache" / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    content = {"truncated": whole[:-9], "page": b"<!DOCTYPE html>", "other": gzip.compress(b"other")}[damage]
    file.write_bytes(content)
    with pytest.raises(CorruptError, match=rf"md5 sum of .*{'web page.*' if damage == 'page' else ''}Delete {file}"):
        FashionMnist(FetchedOptions()).split("test")
    assert file.read_bytes() == content
    file.unlink()
    assert len(FashionMnist(FetchedOptions()).split("test")) == 7


def test_damaged_transfer_is_not_kept(served: Path, tmp_path: Path) -> None:
    file = "t10k-labels-idx1-ubyte.gz"
    for content, cause in ((b"<html>sign in</html>", "a web page came"), (b"noise", "MD5 sum|corrupted")):
        (served / file).write_bytes(content)
        with pytest.raises(CorruptError, match=cause):
            FashionMnist(FetchedOptions()).split("test")
        kept = [path.name for path in (tmp_path / "cache" / "FashionMNIST" / "raw").iterdir()]
        assert file not in kept
        assert len(kept) == 3


def test_a_cache_folder_that_cannot_be_written(served: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="must be writable"):
        FashionMnist(FetchedOptions(root=str(tmp_path / "file"))).split("test")
