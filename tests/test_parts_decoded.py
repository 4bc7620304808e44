"""The cache of decoded images: interrupted anywhere, damaged anywhere, wanted by two at once, and never too large."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from genzoo import storage
from genzoo.engine.data import Loader
from genzoo.errors import CorruptError, StorageError
from genzoo.interfaces.dataset import Dataset
from genzoo.parts import decoded as module
from genzoo.parts.decoded import Source, decoded
from genzoo.parts.mapped import map_images
from genzoo.parts.progress import ProgressLine
from genzoo.types import ImageSpec, Split

SHAPE = (10, 1, 2, 2)
IMAGES = torch.arange(40, dtype=torch.uint8).view(SHAPE)
CHUNKS = [range(3), range(3, 6), range(6, 9), range(9, 10)]


@pytest.fixture(autouse=True)
def small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of three images, in a cache of the test's own."""
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    monkeypatch.setattr(module, "CHUNK_BYTES", 12)


class Toy:
    """A source that counts what it decodes."""

    def __init__(self, images: torch.Tensor = IMAGES, fails_at: int | None = None) -> None:
        self.images, self.fails_at = images, fails_at
        self.decoded: list[range] = []

    def decode(self, chunks: Sequence[range]) -> Generator[bytes]:
        for chunk in chunks:
            if chunk.start == self.fails_at:
                raise CorruptError("toy: image.png must be an image that can be decoded, got noise.", "Delete it.")
            self.decoded.append(chunk)
            yield self.images[chunk.start : chunk.stop].numpy().tobytes()

    @property
    def source(self) -> Source:
        return Source("toy", SHAPE, {"files": "these"}, self.decode)


def content(file: Path) -> torch.Tensor:
    return torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8).view(SHAPE)


def test_made_once_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    toy = Toy()
    file = decoded(toy.source)
    assert torch.equal(content(file), IMAGES)
    assert toy.decoded == CHUNKS
    err = capfd.readouterr().err
    assert f"toy: decoding 10 images once into {tmp_path / 'decoded'}" in err
    assert "toy: decoding: 10 images in 0:00" in err
    assert "\r" not in err
    assert decoded(toy.source) == file
    assert toy.decoded == CHUNKS
    assert capfd.readouterr().err == ""
    assert file.parent.parent == tmp_path / "decoded"
    other = decoded(Source("toy", SHAPE, {"files": "others"}, Toy(255 - IMAGES).decode))
    assert torch.equal(content(other), 255 - IMAGES)
    assert torch.equal(content(file), IMAGES)


def full_disk(n: int) -> Callable[[str, Path], None]:
    calls = count()

    def probe(operation: str, path: Path) -> None:
        if next(calls) == n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    return probe


def test_a_full_disk_at_any_operation_costs_no_chunk_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[StorageError] = []
    for n in count():
        cache = tmp_path / str(n)
        monkeypatch.setenv("GENZOO_DATA", str(cache))
        toy = Toy()
        try:
            with storage.probed(full_disk(n)):
                decoded(toy.source)
            break
        except StorageError as error:
            failures.append(error)
        assert failures[n].exit_code == 7
        assert "No space left" in str(failures[n])
        assert f"Free space in {cache / 'decoded'}, or set GENZOO_DATA" in failures[n].hint
        assert torch.equal(content(decoded(toy.source)), IMAGES)
        # The chunk that was being written is decoded once more, no other.
        assert len(toy.decoded) <= len(CHUNKS) + 1
    assert len(failures) >= 15


def test_too_little_space_is_known_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=39))
    toy = Toy()
    with pytest.raises(StorageError, match=r"must have 0\.0 MB free, got 0\.0 MB\. Free space") as caught:
        decoded(toy.source)
    assert caught.value.exit_code == 7
    assert toy.decoded == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=40))
    decoded(toy.source)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "decoded").write_text("in the way", encoding="utf-8")
    with pytest.raises(StorageError, match="must be writable") as caught:
        decoded(Toy().source)
    assert caught.value.exit_code == 7


def test_an_image_that_cannot_be_decoded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"image\.png"):
        decoded(Toy(fails_at=6).source)
    assert [path.name for path in (tmp_path / "decoded").iterdir()] == [".locks"]
    assert torch.equal(content(decoded(Toy().source)), IMAGES)


def interrupted(toy: Toy, chunks: int) -> Path:
    """Stop after some chunks; the folder that is left."""

    def decode(asked: Sequence[range]) -> Generator[bytes]:
        yield from toy.decode(asked[:chunks])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded(replace(toy.source, decode=decode))
    (left,) = Path(os.environ["GENZOO_DATA"], "decoded").glob(".making-*")
    return left


def test_what_an_interrupted_process_left_is_verified() -> None:
    toy = Toy()
    left = interrupted(toy, 2)
    with (left / "images.u8").open("r+b") as file:
        file.seek(4)
        file.write(b"\xff")
    with (left / "chunks.jsonl").open("ab") as journal:
        journal.write(b'{"chunk": 2, "sha')
    toy.decoded.clear()
    assert torch.equal(content(decoded(toy.source)), IMAGES)
    assert toy.decoded == [CHUNKS[0], CHUNKS[2], CHUNKS[3]]
    assert not left.exists()


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_a_flipped_byte_costs_its_chunk(caplog: pytest.LogCaptureFixture) -> None:
    file = decoded(Toy().source)
    for at, chunk in ((0, 0), (13, 1), (39, 3)):
        flip(file, at)
        toy = Toy()
        caplog.clear()
        decoded(toy.source)
        assert torch.equal(content(file), IMAGES)
        assert toy.decoded == [CHUNKS[chunk]]
        assert caplog.messages == [f"toy: 1 of the 4 chunks of {file} are damaged; they are decoded anew."]


@pytest.mark.parametrize("damage", ["manifest", "torn", "short", "absent"])
def test_a_cache_that_is_not_whole_is_made_anew(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    file = decoded(Toy().source)
    manifest = file.with_name("manifest.json")
    match damage:
        case "manifest":
            manifest.write_text(
                json.dumps({**json.loads(manifest.read_text(encoding="utf-8")), "sha256": ["0"]}), encoding="utf-8"
            )
        case "torn":
            manifest.write_bytes(manifest.read_bytes()[:50])
        case "short":
            file.write_bytes(file.read_bytes()[:-1])
        case _:
            manifest.unlink()
    assert torch.equal(content(decoded(Toy().source)), IMAGES)
    assert [record.levelno for record in caplog.records] == ([] if damage == "absent" else [logging.WARNING])


def test_another_decoder_decodes_all(caplog: pytest.LogCaptureFixture) -> None:
    file = decoded(Toy().source)
    flip(file, 0)
    decoded(Toy(255 - IMAGES).source)
    assert torch.equal(content(file), 255 - IMAGES)
    assert "decoded otherwise" in caplog.messages[-1]


def test_a_whole_cache_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    file = decoded(Toy().source)

    def refuse(operation: str, path: Path) -> None:
        raise OSError(errno.EROFS, "read-only", str(path))

    module._verified.clear()
    (tmp_path / "decoded" / ".locks" / Toy().source.key).unlink()
    with storage.probed(refuse):
        assert decoded(Toy().source) == file
    assert list((tmp_path / "decoded" / ".locks").iterdir()) == []


PROGRAM = """
import sys, time
from pathlib import Path
from genzoo.parts import decoded as module
module.CHUNK_BYTES = 12
log, gate, stop = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def decode(chunks):
    for number, chunk in enumerate(chunks):
        with log.open("a") as file:
            file.write(f"{chunk.start}\\n")
        while number == stop and not gate.exists():
            time.sleep(0.01)
        yield bytes(range(4 * chunk.start, 4 * chunk.stop))

module.decoded(module.Source("toy", (10, 1, 2, 2), {"files": "these"}, decode))
"""


class Maker:
    """A process that makes the toy's cache, and stops at one of its chunks until it is let through."""

    def __init__(self, folder: Path, stop: int = -1) -> None:
        self.log, self.gate = folder / "log", folder / "gate"
        self.log.touch()
        self._before = len(self.starts)
        command = [sys.executable, "-c", PROGRAM, str(self.log), str(self.gate), str(stop)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)

    @property
    def starts(self) -> list[str]:
        """First images of the chunks that any process began to decode."""
        return self.log.read_text(encoding="utf-8").split()

    def wait_for_chunk(self, number: int) -> None:
        """Until its chunk of that number is begun."""
        end = time.monotonic() + 120
        while len(self.starts) <= self._before + number:
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)

    def wait_until_told(self, text: bytes) -> None:
        """Until it says so."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return
        raise AssertionError(text)

    def end(self, kill: bool = False) -> bytes:
        """What it said, once it has ended, well unless it is killed."""
        if kill:
            self.process.send_signal(signal.SIGKILL)
        _, told = self.process.communicate(timeout=120)
        assert self.process.returncode == (-signal.SIGKILL if kill else 0), told
        return told


@pytest.mark.parametrize("stops", [[0], [1], [3], [1, 0, 1]])
def test_killed_and_resumed(tmp_path: Path, stops: list[int]) -> None:
    for stop in stops:
        maker = Maker(tmp_path, stop)
        maker.wait_for_chunk(stop)
        maker.end(kill=True)
    maker = Maker(tmp_path)
    told = maker.end()
    assert (b"are there from before" in told) == any(stops)
    toy = Toy()
    assert torch.equal(content(decoded(toy.source)), IMAGES)
    assert toy.decoded == []
    # Each kill cost the chunk that was being decoded.
    assert len(maker.starts) == 4 + len(stops)
    assert set(maker.starts) == {"0", "3", "6", "9"}


def test_two_that_want_it_at_once_decode_it_once(tmp_path: Path) -> None:
    first = Maker(tmp_path, stop=1)
    first.wait_for_chunk(1)
    second = Maker(tmp_path)
    second.wait_until_told(b"another process decodes these images; waiting")
    first.gate.touch()
    first.end()
    second.end()
    assert first.starts == ["0", "3", "6", "9"]
    assert torch.equal(content(decoded(Toy().source)), IMAGES)


def test_one_that_waits_goes_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    first = Maker(tmp_path, stop=2)
    first.wait_for_chunk(2)
    second = Maker(tmp_path)
    second.wait_until_told(b"waiting")
    first.end(kill=True)
    second.end()
    assert first.starts == ["0", "3", "6", "6", "9"]
    assert torch.equal(content(decoded(Toy().source)), IMAGES)


class Plain(Dataset):
    """Nothing but an interface to load through."""

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec((1, 2, 2))

    def split(self, name: str) -> Split:
        raise NotImplementedError


def mapped_split(held: int = 1 << 20) -> Split:
    images, pages = map_images(decoded(Toy().source), SHAPE, held)
    return Split(images, torch.arange(10), pages=pages)


@pytest.mark.parametrize("held", [8, 1 << 20])
def test_mapped_batches_equal_those_in_memory(held: int) -> None:
    from genzoo.options import NoOptions

    mapped, memory = mapped_split(held), Split(IMAGES, torch.arange(10))
    assert mapped.mapped
    assert not memory.mapped
    for head in (None, 7):
        loaders = [Loader(Plain(NoOptions()), split.head(head), "cpu") for split in (mapped, memory)]
        order = loaders[0].order(0, 1)
        assert torch.equal(order, loaders[1].order(0, 1))
        for index in (*order.split(3), *loaders[0].slices(4)):
            ours, theirs = (loader.batch(index, training=True) for loader in loaders)
            assert torch.equal(ours.image, theirs.image)
            assert ours.label is not None
            assert theirs.label is not None
            assert torch.equal(ours.label, theirs.label)
    assert torch.equal(mapped.batch().image, memory.batch().image)
    assert mapped.select(slice(2, 9)).mapped
    assert not mapped.select(torch.tensor([1, 2])).mapped
    assert mapped.to("cpu").mapped
    masked = mapped.select(torch.arange(10) > 6)
    assert torch.equal(masked.images, IMAGES[7:])
    odd = mapped.select(slice(1, 9, 2))
    assert torch.equal(odd.batch(torch.tensor([3, 0])).image, memory.batch(torch.tensor([7, 1])).image)
    assert len(mapped.select(torch.tensor([], dtype=torch.int64))) == 0
    for wrong in (-1, 8):
        with pytest.raises(IndexError):
            mapped.head(8).select(torch.tensor([0, wrong]))


def test_a_file_that_shrinks_is_refused() -> None:
    mapped = mapped_split(held=8)
    file = decoded(Toy().source)
    file.write_bytes(b"")
    with pytest.raises(CorruptError, match=r"images\.u8 must not change while it is used"):
        mapped.select(torch.tensor([1]))


def test_on_another_device_the_file_stays_where_it_is() -> None:
    """A device without a memory, in place of one that this machine may not have."""
    from genzoo.options import NoOptions

    mapped, memory = (Loader(Plain(NoOptions()), split, "meta") for split in (mapped_split(), Split(IMAGES)))
    assert mapped.split.images.device.type == mapped.order(0, 1).device.type == "cpu"
    assert memory.split.images.device.type == memory.order(0, 1).device.type == "meta"
    for index in (mapped.order(0, 1)[:3], slice(0, 3)):
        batch = mapped.batch(index, training=True)
        assert batch.image.device.type == "meta"
        assert batch.label is not None
        assert batch.label.device.type == "meta"
        assert batch.image.shape == (3, 1, 2, 2)
        assert batch.image.dtype == torch.float32


def test_the_file_is_never_written(tmp_path: Path) -> None:
    split = mapped_split()
    split.images.fill_(7)
    assert torch.equal(content(decoded(Toy().source)), IMAGES)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell")
def test_what_a_process_holds_is_bounded(tmp_path: Path) -> None:
    shape, held = (4096, 3, 64, 64), 16 << 20
    file = tmp_path / "images.u8"
    file.write_bytes(bytes(4096 * 3 * 64 * 64))
    images, pages = map_images(file, shape, held)
    split = Split(images, pages=pages)

    def in_files() -> int:
        (line,) = [
            line
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            if line.startswith("RssFile")
        ]
        return int(line.split()[1]) * 1024

    before, most = in_files(), 0
    for index in torch.randperm(4096, generator=torch.Generator().manual_seed(0)).split(64):
        split.batch(index)
        most = max(most, in_files() - before)
    assert most < 1 << 20
    for start in range(0, 4096, 64):
        split.batch(slice(start, start + 64))
        most = max(most, in_files() - before)
    assert most < held < images.nbytes


def test_progress_on_a_terminal_and_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 10_000, 40))
    monkeypatch.setattr("genzoo.parts.progress.time.monotonic", lambda: float(next(clock)))
    progress = ProgressLine("toy: decoding", 300, 100)
    progress.update(150)
    progress.update(300)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    # By the clock of this test, each look at it takes 40 s.
    assert lines[0] == "toy: decoding: 150 of 300 images, 1 images/s, ETA 6:00"
    assert lines[-1].startswith("toy: decoding: 300 images in ")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    progress = ProgressLine("toy: decoding", 300)
    progress.update(150)
    progress.line("something else")
    shown = capsys.readouterr().err
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert re.match(r"\r\S{10} ETA \d+:\d\d toy: decoding", plain)
    assert all(len(line) < 40 for line in plain.replace("\r", "\n").splitlines())
    assert shown.endswith("something else\n")
    monkeypatch.setattr(sys, "stderr", None)
    ProgressLine("toy", 3).update(1)


def test_a_chunk_of_another_size_is_refused() -> None:
    def decode(chunks: Sequence[range]) -> Generator[bytes]:
        yield b"short"

    with pytest.raises(ValueError, match="must have 12 bytes"):
        decoded(replace(Toy().source, decode=decode))


def test_a_cache_whose_images_are_gone_is_removed_when_another_is_made(tmp_path: Path) -> None:
    gone, stays = tmp_path / "gone", tmp_path / "stays"
    gone.mkdir()
    stays.mkdir()
    files = [
        decoded(replace(Toy().source, identity={"files": str(origin)}, origin=origin)) for origin in (gone, stays, None)
    ]
    gone.rmdir()
    decoded(replace(Toy().source, identity={"files": "new"}))
    assert [file.exists() for file in files] == [False, True, True]


def test_threads_of_one_process_share_it() -> None:
    toy, files = Toy(), []
    threads = [threading.Thread(target=lambda: files.append(decoded(toy.source))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(files)) == 1
    assert toy.decoded == CHUNKS
