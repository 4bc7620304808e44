"""Image folders that are decoded once: the same images as in memory, killed and damaged, and decoded by processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genzoo
from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo.parts import decoded as core
from genzoo.types import Split
from genzoo_datasets import decoding, pool
from genzoo_datasets.decode import Decoder, ImageFile, Target
from genzoo_datasets.image_folder import ImageFolder
from genzoo_datasets.options import ImageFolderOptions
from genzoo_datasets.pool import decode_chunks

TARGET = Target("test", 3, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Sixty noisy JPEG files of 8×8 in two classes."""
    random = np.random.default_rng(0)
    for number in range(60):
        file = tmp_path / "pictures" / f"class-{number % 2}" / f"{number:03}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(file)
    return tmp_path / "pictures"


def folder(root: Path, cache: str, **options: Any) -> ImageFolder:
    return ImageFolder(ImageFolderOptions.model_validate({"root": str(root), "cache": cache, **options}))


def same(one: Split, other: Split) -> bool:
    assert one.labels is not None
    assert other.labels is not None
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("binarize", ["none", "static", "threshold", "dynamic"])
def test_mapped_images_are_those_in_memory(pictures: Path, binarize: str) -> None:
    mapped, memory = (folder(pictures, cache, binarize=binarize, flip=True) for cache in ("always", "never"))
    for name in ("train", "test"):
        one, other = mapped.split(name), memory.split(name)
        assert one.mapped
        assert not other.mapped
        assert same(one, other)
        assert same(mapped.split(name), other)
        index = torch.randperm(len(one))[:5]
        for training in (True, False):
            torch.manual_seed(0)
            drawn = mapped.transform(one.batch(index).image, training=training)
            torch.manual_seed(0)
            assert torch.equal(drawn, memory.transform(other.batch(index).image, training=training))


def test_training_from_the_file_is_training_from_memory(pictures: Path, tmp_path: Path) -> None:
    def weights(cache: str) -> dict[str, torch.Tensor]:
        data = {"root": str(pictures), "cache": cache, "shift": 1}
        run = genzoo.run(
            "vae",
            data=("image-folder", data),
            network=("mlp", {"hidden": [8]}),
            epochs=2,
            batch_size=16,
            device="cpu",
            viz=[],
            out=tmp_path / cache,
        )
        assert run.record["mapped"] == dict.fromkeys(("train", "test"), cache == "always")
        return run.model.state_dict()

    one, other = weights("always"), weights("never")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_many_images_go_to_a_file_by_themselves(pictures: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert not folder(pictures, "auto").split("train").mapped
    assert not cache.exists()
    monkeypatch.setattr(decoding, "MANY_IMAGES", 48)
    assert folder(pictures, "auto").split("train").mapped
    assert not folder(pictures, "auto").split("test").mapped
    monkeypatch.setattr(decoding, "MANY_IMAGES", 1000)
    monkeypatch.setattr(decoding, "MANY_BYTES", 12 * 8 * 8 * 3)
    assert folder(pictures, "auto").split("test").mapped


def caches(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.name[0] != "."}


def test_another_folder_or_option_is_another_cache(pictures: Path, cache: Path) -> None:
    def train(**options: Any) -> Split:
        return folder(pictures, "always", **options).split("train")

    train()
    (first,) = caches(cache)
    train()
    assert caches(cache) == {first}
    changes: list[Any] = [
        lambda: train(channels=1),
        lambda: train(resize=True, size=4),
        lambda: train(split_seed=1),
        lambda: train(binarize="static"),
        lambda: train(binarize="static", binarize_seed=1),
        lambda: (os.utime(pictures / "class-0" / "000.jpg", ns=(0, 0)), train()),
        lambda: ((pictures / "class-0" / "000.jpg").rename(pictures / "class-0" / "a.jpg"), train()),
        lambda: ((pictures / "class-0" / "002.jpg").unlink(), train()),
    ]
    for number, change in enumerate(changes):
        change()
        assert len(caches(cache)) == 2 + number, number
    # What was changed is read.
    Image.new("RGB", (8, 8), (255, 255, 255)).save(pictures / "class-0" / "000.png")
    one, other = folder(pictures, "always"), folder(pictures, "never")
    assert same(one.split("train"), other.split("train"))
    whites = [bool((split.images == 255).flatten(1).all(1).any()) for split in map(one.split, one.splits)]
    assert sum(whites) == 1


def test_a_flipped_byte_is_found_and_decoded_anew(
    pictures: Path, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "CHUNK_BYTES", 10 * 8 * 8 * 3)
    folder(pictures, "always").split("train")
    (file,) = cache.glob("*/images.u8")
    data = bytearray(file.read_bytes())
    data[4000] ^= 1
    file.write_bytes(data)
    assert same(folder(pictures, "always").split("train"), folder(pictures, "never").split("train"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"image-folder: 1 of the 5 chunks of {file} are damaged" in caplog.text


@pytest.mark.parametrize("damage", ["truncated", "page", "empty", "size"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_damaged_image_is_refused_by_name(
    pictures: Path, cache: Path, damage: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "CHUNK_BYTES", 10 * 8 * 8 * 3)
    monkeypatch.setattr(pool, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(pool, "cores", lambda: processes)
    bad = pictures / "class-1" / "031.jpg"
    whole = bad.read_bytes()
    if damage == "size":
        Image.new("RGB", (9, 8)).save(bad)
    else:
        bad.write_bytes({"truncated": whole[: len(whole) // 2], "page": b"<html>", "empty": b""}[damage])
    kind, code = (UsageError, 2) if damage == "size" else (CorruptError, 4)
    for where in ("always", "never"):
        dataset = folder(pictures, where, test_fraction=0.01)
        with pytest.raises(kind, match=rf"image-folder: .*{bad}") as caught:
            dataset.split("train")
        assert caught.value.exit_code == code
    assert caches(cache) == set()
    assert not list(cache.glob(".making-*"))


def test_processes_decode_what_one_decodes(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ImageFile(str(path)) for path in sorted(pictures.rglob("*.jpg"))]
    with Decoder(TARGET) as decoder:
        whole = decoder.decode(files).tobytes()
    chunks = [files[start : start + 7] for start in range(0, 60, 7)]
    for processes in (1, 2, 5):
        assert b"".join(bytes(data) for data in decode_chunks(chunks, TARGET, processes)) == whole
    # Enough to fill every pipe, and left in the middle.
    large = Target("test", 3, 512, 512, resize=True)
    results = decode_chunks([files] * 6, large, 2)
    assert len(next(results)) == 60 * 3 * 512 * 512
    results.close()


def test_a_process_that_ends_is_told(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ImageFile(str(path)) for path in sorted(pictures.rglob("*.jpg"))]
    monkeypatch.setattr(pool.sys, "executable", "/bin/false" if Path("/bin/false").exists() else "/usr/bin/false")
    with pytest.raises(GenzooError, match=r"a process that decodes images ended, between .*jpg and .*Run it again"):
        list(decode_chunks([files[:5], files[5:]], TARGET, 2))


PROGRAM = """
import sys, time
from pathlib import Path
from genzoo.parts import decoded as core
from genzoo_datasets import decoding, pool
from genzoo_datasets.image_folder import ImageFolder
from genzoo_datasets.options import ImageFolderOptions

core.CHUNK_BYTES = 5 * 8 * 8 * 3
pool.WORTH_PROCESSES = 0
pool.cores = lambda: 2
kept = core.storage.append_line
def append_line(path, line):
    kept(path, line)
    while path.read_bytes().count(b"\\n") == int(sys.argv[2]) and not Path(sys.argv[3]).exists():
        time.sleep(0.01)
core.storage.append_line = append_line
ImageFolder(ImageFolderOptions(root=sys.argv[1], cache="always")).split("train")
"""


def started(pictures: Path, stop: int = -1) -> subprocess.Popen[bytes]:
    """A process that decodes the pictures, and stops after some chunks until there is a file `gate`."""
    command = [sys.executable, "-c", PROGRAM, str(pictures), str(stop), str(pictures.parent / "gate")]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def journal(cache: Path) -> bytes:
    return b"".join(file.read_bytes() for file in cache.glob(".making-*/chunks.jsonl"))


def children(process: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    ]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not tell")
def test_killed_in_the_middle_and_resumed(pictures: Path, cache: Path) -> None:
    with started(pictures, stop=4) as process:
        while journal(cache).count(b"\n") < 4:
            time.sleep(0.01)
            assert process.poll() is None
        workers = children(process.pid)
        assert workers
        process.send_signal(signal.SIGKILL)
    # Nobody is left behind.
    end = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() and not zombie(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert caches(cache) == set()
    assert journal(cache).count(b"\n") == 4
    with started(pictures) as process:
        _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert b"; 20 are there from before" in told
    assert len(caches(cache)) == 1
    (file,) = cache.glob("*/images.u8")
    train = folder(pictures, "never").split("train")
    assert file.read_bytes() == train.images.numpy().tobytes()


def zombie(process: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return True


@pytest.mark.slow
def test_two_that_train_at_once_decode_once(pictures: Path, cache: Path) -> None:
    with started(pictures, stop=2) as first:
        while journal(cache).count(b"\n") < 2:
            time.sleep(0.01)
            assert first.poll() is None
        with started(pictures) as second:
            assert second.stderr is not None
            told = second.stderr.readline()
            (pictures.parent / "gate").touch()
            assert b"image-folder: another process decodes these images; waiting for it" in told
            for process in (first, second):
                _, told = process.communicate(timeout=300)
                assert process.returncode == 0, told
    assert b"decoding" not in told
    assert len(caches(cache)) == 1
    assert same(folder(pictures, "always").split("train"), folder(pictures, "never").split("train"))
