"""Unpacking an archive of images into the cache folder, refusing members that would land outside it."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from genzoo import storage
from genzoo.bounded import UNREADABLE_ZIP, reason
from genzoo.errors import CorruptError, GenzooError, StorageError
from genzoo.parts.cache import cache_folder

UNREADABLE_ARCHIVE = (*UNREADABLE_ZIP, tarfile.TarError)
"""What reading an archive raises where it is damaged, encrypted, packed by an unknown method or made to harm."""

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a disk refuses by, also when a file is closed."""

_BLOCK = 2**20
"""Bytes of a member that are held in memory."""


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
            _write(staging / _checked(name, archive), content, archive)
        if not target.is_dir():
            storage.retried(lambda: staging.rename(target))
    except UNREADABLE_ARCHIVE as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise _unwritten(target, error) from error
        raise CorruptError(
            f"unpack: {archive} must be a whole archive without a password, got {reason(error)}.",
            "Fetch it anew, or unpack it by hand and name the folder.",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def is_archive(path: Path) -> bool:
    """Whether a file is one that `unpacked` reads."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def _write(place: Path, content: IO[bytes], archive: Path) -> None:
    """Write one member; that the disk refuses says nothing about the archive."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = place.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise CorruptError(
            f"unpack: members of {archive} must have names of their own, got {place.name!r} twice.",
            "Unpack it by hand and name the folder.",
        ) from None
    except OSError as error:
        raise _unwritten(place, error) from error
    with file:
        while block := content.read(_BLOCK):
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise _unwritten(place, error) from error


def _unwritten(place: Path, error: OSError) -> GenzooError:
    if error.errno == errno.ENAMETOOLONG:
        return CorruptError(f"unpack: names in an archive must be ones that the system takes, got {place.name!r}.")
    return StorageError(
        f"unpack: {place.parent} must be writable, got {reason(error)}.", "Free the disk, or set GENZOO_DATA."
    )


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
