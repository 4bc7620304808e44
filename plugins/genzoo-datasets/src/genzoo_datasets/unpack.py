"""Unpacking an archive of images into the cache folder, refusing members that would land outside it."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from genzoo.errors import CorruptError, StorageError
from genzoo.parts.cache import cache_folder


def unpacked(archive: Path) -> Path:
    """The folder of an archive's files, unpacked once under the cache folder by the archive's SHA-256.

    Args:
        archive: A .zip file, or a .tar file with or without compression.

    Raises:
        CorruptError: If it is damaged, or a member is no plain file or folder inside the archive.
        StorageError: If the cache folder cannot be written.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_folder() / "unpacked" / digest[:32]
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder under its own name is whole, whatever interrupts this.
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-"))
    except OSError as error:
        raise StorageError(f"unpack: {target.parent} must be writable, got {error}.", "Set GENZOO_DATA.") from error
    try:
        for name, content in _members(archive):
            place = staging / _checked(name, archive)
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                shutil.copyfileobj(content, file)
        if not target.is_dir():
            staging.rename(target)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, FileExistsError) as error:
        raise CorruptError(f"unpack: {archive} must be a whole archive, got {error}.", "Fetch it anew.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def is_archive(path: Path) -> bool:
    """Whether a file is one that `unpacked` reads."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    with packed.open(info) as content:
                        yield info.filename, content
        return
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.isdir():
                _checked(member.name, archive)
                continue
            content = packed.extractfile(member) if member.isreg() else None
            if content is None:
                raise _refused(member.name, archive)
            yield member.name, content


def _checked(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
        raise _refused(name, archive)
    return path


def _refused(name: str, archive: Path) -> CorruptError:
    return CorruptError(
        f"unpack: members of {archive} must be plain files inside it, got {name!r}.",
        "Nothing was kept; do not trust this archive.",
    )
