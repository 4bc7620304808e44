"""A cache of decoded images: one file of bytes that is made once, chunk by chunk, and then memory-mapped.

    <cache folder>/decoded/<key>/images.u8, manifest.json and chunks.jsonl

The key is made of whatever the images depend on, so that another input is another cache. While it is made, the file
lies in ``.making-<key>`` beside a journal of the chunks that are done, with their SHA-256; work that was interrupted,
however, goes on from there, and what the journal says is verified first. The folder gets its name when all is there.
One process makes a cache while others that want it wait. Chunks are verified whenever the cache is opened, and damaged
ones are made again.

Imports no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from genzoo import storage
from genzoo.errors import CorruptError, StorageError, UsageError
from genzoo.parts.cache import cache_folder
from genzoo.parts.progress import ProgressLine

_log = logging.getLogger("genzoo.data")

FORMAT = 1
CHUNK_BYTES = 16 << 20
MOST_IN_CHUNK = 4096

_verified: set[tuple[str, int, int, int]] = set()
"""Files that were verified by this process, by path, inode, size and time of change."""


@dataclass(frozen=True)
class Source:
    """Images that can be decoded.

    Args:
        name: The dataset's, for messages.
        shape: ``(N, C, H, W)``.
        identity: What the decoded bytes depend on, as JSON: files with their sizes and times, and options.
        decode: Chunks, as ranges of images → the bytes of each, ``[len(chunk), C, H, W]``, in the same order. It is
            closed early when the work stops.
        origin: The file or folder that the images come from. A cache whose origin is gone could not be used again, and
            is removed when another is made.
    """

    name: str
    shape: tuple[int, int, int, int]
    identity: Mapping[str, Any]
    decode: Callable[[Sequence[range]], Generator[bytes | memoryview]]
    origin: Path | None = None

    @cached_property
    def key(self) -> str:
        """The name of the cache."""
        told = {"format": FORMAT, "shape": self.shape, "identity": self.identity}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def image_bytes(self) -> int:
        """Size of one decoded image."""
        return prod(self.shape[1:])

    @cached_property
    def chunks(self) -> list[range]:
        """The images that are decoded, verified and repaired together."""
        return chunks_of(self.shape[0], self.image_bytes)

    def span(self, chunk: range) -> tuple[int, int]:
        """Where a chunk lies in the file: its offset and size."""
        return chunk.start * self.image_bytes, len(chunk) * self.image_bytes


def chunks_of(count: int, image_bytes: int) -> list[range]:
    """Images divided into chunks, all but the last of one length.

    Args:
        count: How many images.
        image_bytes: Size of one.
    """
    length = min(max(CHUNK_BYTES // max(image_bytes, 1), 1), MOST_IN_CHUNK)
    return [range(start, min(start + length, count)) for start in range(0, count, length)]


def chunk_digests(file: Path) -> list[str] | None:
    """SHA-256 of each chunk of a file that `decoded` gave, as its manifest has them; None for another file."""
    try:
        digests = json.loads((file.parent / "manifest.json").read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [str(digest) for digest in digests]


def decoded(source: Source) -> Path:
    """The file of a source's decoded images, made if it is not there and repaired if it is damaged.

    Args:
        source: The images.

    Returns:
        A file of ``prod(source.shape)`` bytes, to be read alone.

    Raises:
        StorageError: If the disk is full or cannot be written; what is decoded is kept, and the next call goes on.
        CorruptError: If an image cannot be decoded, and whatever else ``source.decode`` raises.
    """
    folder = cache_folder() / "decoded" / source.key
    file = folder / "images.u8"
    try:
        if _manifest(folder, source, warn=True) is None:
            with _alone(folder, source):
                # Another process may have made it while this one waited.
                if _manifest(folder, source) is None:
                    _make(folder, source)
        if damaged := _damaged(folder, source):
            with _alone(folder, source):
                damaged = _damaged(folder, source)
                if damaged:
                    _log.warning(
                        "%s: %d of the %d chunks of %s are damaged; they are decoded anew.",
                        *(source.name, len(damaged), len(source.chunks), file),
                    )
                    _repair(folder, source, damaged)
    except StorageError as error:
        raise StorageError(
            error.message,
            f"Free space in {folder.parent}, or set GENZOO_DATA to another folder, and run it again; "
            "what is decoded is kept.",
        ) from error
    return file


def _make(folder: Path, source: Source) -> None:
    """Decode what is not decoded yet and give the folder its name."""
    making = _making(folder)
    journal = making / "chunks.jsonl"
    # Whatever has the name and is no cache is in the way: a damaged manifest, say.
    storage.remove_folder(folder)
    if not making.is_dir():
        storage.make_folder(making)
    kept = _kept(making, source)
    storage.replace(journal, b"".join(_entry(chunk, digest) for chunk, digest in kept.items()))
    missing = [chunk for number, chunk in enumerate(source.chunks) if number not in kept]
    _check_space(making, source, missing)
    try:
        kept |= _decode(making / "images.u8", source, missing, journal)
    except (CorruptError, UsageError):
        # An image is at fault. Once it is replaced it is another cache, so that nothing here could be used.
        storage.remove_folder(making)
        raise
    manifest = {
        "format": FORMAT,
        "dataset": source.name,
        "shape": source.shape,
        "identity": source.identity,
        "origin": None if source.origin is None else str(source.origin),
        "chunk": len(source.chunks[0]),
        "sha256": [kept[number] for number in range(len(source.chunks))],
    }
    storage.replace_json(making / "manifest.json", manifest)
    storage.rename(making, folder)
    _forget_orphans(folder.parent)


def _forget_orphans(caches: Path) -> None:
    for file in caches.glob("[!.]*/manifest.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, StorageError):
            origin = json.loads(file.read_bytes())["origin"]
            if origin is not None and not Path(origin).exists():
                storage.remove_folder(file.parent)
                _log.info("%s is removed, because %s is gone.", file.parent, origin)


def _decode(file: Path, source: Source, missing: Sequence[range], journal: Path | None) -> dict[int, str]:
    """Decode chunks into their places in the file; the digest of each, by number."""
    done = source.shape[0] - sum(map(len, missing))
    progress = ProgressLine(f"{source.name}: decoding", source.shape[0], done)
    if journal is not None:
        there = f"; {done:,} are there from before" if done else ""
        size = prod(source.shape) / 1e6
        progress.line(
            f"{source.name}: decoding {source.shape[0]:,} images once into {file.parent.parent} ({size:,.1f} MB){there}."
        )
    digests: dict[int, str] = {}
    with contextlib.closing(progress), contextlib.closing(source.decode(missing)) as results:
        for chunk, data in zip(missing, results, strict=True):
            offset, size = source.span(chunk)
            if memoryview(data).nbytes != size:
                raise ValueError(f"{source.name}: a chunk of {len(chunk)} images must have {size} bytes.")
            storage.write_at(file, offset, data)
            number = source.chunks.index(chunk)
            digests[number] = hashlib.sha256(data).hexdigest()
            if journal is not None:
                storage.append_line(journal, _entry(number, digests[number]).decode().rstrip("\n"))
            done += len(chunk)
            progress.update(done)
    return digests


def _repair(folder: Path, source: Source, damaged: Sequence[int]) -> None:
    """Decode damaged chunks anew; if they come out otherwise, by another version of the decoder, then all of them."""
    manifest = _manifest(folder, source)
    if manifest is None:
        # Another process, which failed at making it anew, has removed it.
        _make(folder, source)
        return
    digests = _decode(folder / "images.u8", source, [source.chunks[number] for number in damaged], None)
    if any(manifest["sha256"][number] != digest for number, digest in digests.items()):
        _log.warning("%s: the images are decoded otherwise than before; all are decoded anew.", source.name)
        storage.remove_folder(folder)
        _make(folder, source)


def _manifest(folder: Path, source: Source, *, warn: bool = False) -> dict[str, Any] | None:
    """What the cache says of itself, or None where there is no whole cache."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        digests = manifest["sha256"]
        fits = (
            manifest["format"] == FORMAT
            and manifest["shape"] == list(source.shape)
            and manifest["chunk"] == len(source.chunks[0])
            and len(digests) == len(source.chunks)
            and all(isinstance(digest, str) for digest in digests)
            and (folder / "images.u8").stat().st_size == prod(source.shape)
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        fits, manifest = False, None
    if not fits and warn:
        _log.warning("%s: %s is damaged and is made anew.", source.name, folder)
    return cast(dict[str, Any], manifest) if fits else None


def _damaged(folder: Path, source: Source) -> list[int]:
    """Numbers of the chunks that are not what the manifest says."""
    manifest = _manifest(folder, source)
    if manifest is None:
        return list(range(len(source.chunks)))
    file = folder / "images.u8"
    try:
        found = file.stat()
    except FileNotFoundError:
        return list(range(len(source.chunks)))
    mark = (str(file), found.st_ino, found.st_size, found.st_mtime_ns)
    if mark in _verified:
        return []
    digests = _digests(file, source, range(len(source.chunks)))
    damaged = [number for number, digest in digests.items() if digest != manifest["sha256"][number]]
    if not damaged:
        _verified.add(mark)
    return damaged


def _digests(file: Path, source: Source, numbers: Sequence[int]) -> dict[int, str]:
    """SHA-256 of chunks as they lie in the file."""

    def digest(number: int) -> str:
        offset, size = source.span(source.chunks[number])
        with file.open("rb", buffering=0) as opened:
            opened.seek(offset)
            return hashlib.sha256(opened.read(size)).hexdigest()

    # Hashing leaves Python's lock to others.
    with ThreadPoolExecutor(cores()) as threads:
        return dict(zip(numbers, threads.map(digest, numbers), strict=True))


def _kept(making: Path, source: Source) -> dict[int, str]:
    """The chunks that an earlier process left, whose bytes are those that it wrote down."""
    try:
        lines = (making / "chunks.jsonl").read_bytes().splitlines()
    except OSError:
        return {}
    told: dict[int, str] = {}
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)  # The last line may be torn.
            if 0 <= entry["chunk"] < len(source.chunks):
                told[int(entry["chunk"])] = entry["sha256"]
    if not told or not (making / "images.u8").is_file():
        return {}
    found = _digests(making / "images.u8", source, sorted(told))
    return {number: digest for number, digest in found.items() if digest == told[number]}


def _entry(number: int, digest: str) -> bytes:
    return json.dumps({"chunk": number, "sha256": digest}).encode() + b"\n"


def _check_space(making: Path, source: Source, missing: Sequence[range]) -> None:
    file = making / "images.u8"
    # What is written already takes no more; holes in the file do.
    held = file.stat().st_blocks * 512 if file.is_file() and hasattr(os.stat_result, "st_blocks") else 0
    needed = min(sum(map(len, missing)) * source.image_bytes, max(prod(source.shape) - held, 0))
    free = shutil.disk_usage(making).free
    if needed > free:
        raise StorageError(
            f"{source.name}: {making.parent} must have {needed / 1e6:,.1f} MB free, got {free / 1e6:,.1f} MB."
        )


@contextlib.contextmanager
def _alone(folder: Path, source: Source) -> Generator[None]:
    """Hold the cache while it is made or repaired; the system frees the lock when the process ends, however it ends."""
    lock = FileLock(folder.parent / ".locks" / source.key)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            ProgressLine(source.name, 0).line(f"{source.name}: another process decodes these images; waiting for it.")
            lock.acquire()
    except OSError as error:
        raise StorageError(f"{source.name}: {folder.parent} must be writable, got {error}.") from error
    try:
        yield
    finally:
        lock.release()


def _making(folder: Path) -> Path:
    return folder.with_name(f".making-{folder.name}")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
