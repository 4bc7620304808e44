"""Fetching files once, through torchvision, with a checksum and an answer within seconds where there is no network."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from torchvision.datasets.utils import check_integrity, download_file_from_google_drive, download_url

from genzoo import storage
from genzoo.errors import CorruptError, StorageError

WAIT_SECONDS = 4.0
"""How long a name look-up, a connection or a silent transfer may take."""


def fetch(folder: Path, files: Sequence[tuple[str, str]], mirrors: Sequence[str], *, name: str) -> None:
    """Fetch the files that are not in the folder yet; what is there is left as it is.

    Args:
        folder: Where the files are kept; created.
        files: (file name, MD5 sum) of each.
        mirrors: Addresses that a file name is appended to, tried in order.
        name: The dataset's, for errors.

    Raises:
        CorruptError: If a file can be fetched from nowhere, or what comes has another checksum.
        StorageError: If the folder cannot be written.
    """
    for file, md5 in files:
        if (folder / file).is_file():
            continue
        causes: list[str] = []
        for mirror in mirrors:
            cause = _fetch_one(mirror + file, folder / file, md5)
            if cause is None:
                break
            causes.append(f"{mirror + file}: {cause}")
        else:
            missing = [other for other, _ in files if not (folder / other).is_file()]
            raise CorruptError(
                f"{name}: {file} must be in {folder} or be fetched, got neither ({'; '.join(causes)}).",
                f"Fetch {' and '.join(mirrors[0] + other for other in missing)} and put them into {folder}.",
            )


def fetch_from_drive(folder: Path, files: Sequence[tuple[str, str, str]], page: str, *, name: str) -> None:
    """Fetch the files that are not in the folder yet from Google Drive, which needs the package gdown.

    Args:
        folder: Where the files are kept; created.
        files: (identifier, MD5 sum, file name) of each, as torchvision lists them.
        page: Where a person finds them.
        name: The dataset's, for errors.

    Raises:
        CorruptError: If a file cannot be fetched, or what comes has another checksum.
        StorageError: If the folder cannot be written.
    """
    for identifier, md5, file in files:
        if (folder / file).is_file():
            continue

        def download(staging: str, identifier: str = identifier, file: str = file) -> None:
            download_file_from_google_drive(identifier, staging, file)

        cause = _fetch_one("https://drive.google.com/", folder / file, md5, download)
        if cause is not None:
            missing = [other for _, _, other in files if not (folder / other).is_file()]
            raise CorruptError(
                f"{name}: {file} must be in {folder} or be fetched, got neither ({cause}).",
                f"Fetch {' and '.join(missing)} from {page} and put them into {folder}.",
            )


def _fetch_one(url: str, target: Path, md5: str, download: Callable[[str], None] | None = None) -> str | None:
    """Why the file could not be fetched, or None when it is in its place."""
    if not _reachable(url):
        return "no connection"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A file under its own name is whole, whatever interrupts this or runs beside it.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as staging:
            try:
                with _time_limit():
                    if download is None:
                        download_url(url, staging, target.name)
                    else:
                        download(staging)
            except (OSError, RuntimeError, ValueError) as error:
                return str(error).rstrip(".") or type(error).__name__
            fetched = Path(staging) / target.name
            if not check_integrity(fetched, md5):
                return _other_content(fetched, md5)
            storage.retried(lambda: fetched.replace(target))
    except OSError as error:
        raise StorageError(f"fetch: {target.parent} must be writable, got {error}.", "Set GENZOO_DATA.") from error
    return None


def check_md5(path: Path, md5: str, *, name: str) -> None:
    """Refuse a kept file that is not the one that was published.

    Raises:
        CorruptError: If its MD5 sum is another.
    """
    if not check_integrity(path, md5):
        raise CorruptError(
            f"{name}: {path} must be the published file, but {_other_content(path, md5)}.",
            f"Delete {path} to fetch it anew.",
        )


def _other_content(path: Path, md5: str) -> str:
    try:
        with path.open("rb") as file:
            page = file.read(64).lstrip()[:1] == b"<"
    except OSError as error:
        return str(error)
    return "a web page came in its place" if page else f"its MD5 sum is not {md5}"


@contextlib.contextmanager
def _time_limit() -> Generator[None]:
    # torchvision opens its connections without a time limit of their own.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(WAIT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reachable(url: str) -> bool:
    """Whether the host, or the proxy in front of it, takes a connection in time."""
    address = urlsplit(url)
    host = address.hostname or ""
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    place = (address.hostname or "", address.port or (443 if address.scheme == "https" else 80))
    connected = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError), socket.create_connection(place, timeout=WAIT_SECONDS):
            connected.set()

    # A name look-up knows no time limit, so it gets a thread that may be left behind.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    return connected.is_set()
