"""Archives, arrays and images that cannot be read, or not as they were meant: words, and never a defect."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genzoo.bounded import reason
from genzoo.errors import CorruptError, StorageError, UsageError
from genzoo.parts.cache import cache_folder
from genzoo_datasets import cifar10, unpack
from genzoo_datasets.decode import Decoder, ImageFile, Target
from genzoo_datasets.image_folder import ImageFolder
from genzoo_datasets.npz import Npz, load_arrays
from genzoo_datasets.options import ImageFolderOptions, NpzOptions


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (6, 5), 7).save(file, "png")
    return file.getvalue()


def array(shape: str = "(2, 4, 4)", descr: str = "|u1") -> bytes:
    """A .npy member whose header is written by hand."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(32)


def zipped(data: bytes, name: str = "a/1.png") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(name, data)
    return file.getvalue()


def encrypted(data: bytes) -> bytes:
    """With the flag of a password in both headers."""
    local, central = bytearray(data), data.index(b"PK\x01\x02")
    local[6] |= 1
    local[central + 8] |= 1
    return bytes(local)


def method(number: int) -> Callable[[bytes], bytes]:
    """Packed by another method, in both headers."""

    def change(data: bytes) -> bytes:
        changed, central = bytearray(data), data.index(b"PK\x01\x02")
        changed[8:10] = changed[central + 10 : central + 12] = struct.pack("<H", number)
        return bytes(changed)

    return change


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """One byte of the content is another."""
    at = data.index(b"\x93NUMPY") + 80 if b"\x93NUMPY" in data else data.index(b"IDAT") + 6
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


HARMED: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": encrypted,
    "an-unknown-method": method(99),
    "not-lzma": method(14),
    "not-bzip2": method(12),
    "not-deflated": method(8),
    "flipped": flipped,
    "cut": cut,
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("harm", HARMED)
def test_a_zip_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, cache: Path, harm: str) -> None:
    file = tmp_path / "images.zip"
    file.write_bytes(HARMED[harm](zipped(picture())))
    if harm == "cut":  # Of this no archive is left to see.
        with pytest.raises(CorruptError, match="must be an image that can be decoded"), Decoder(TARGET) as decoder:
            decoder.decode([ImageFile(str(file), "a/1.png")])
        return
    with pytest.raises(CorruptError, match=r"images\.zip must be a whole archive without a password, got .+\."):
        unpack.unpacked(file)
    assert not list((cache / "unpacked").iterdir())
    words = r"a/1\.png in .*images\.zip must be an image that can be decoded, got .+"
    with pytest.raises(CorruptError, match=words), Decoder(TARGET) as decoder:
        decoder.decode([ImageFile(str(file), "a/1.png")])


TARGET = Target("image-folder", 1, 5, 6)

ARRAYS: dict[str, bytes] = {
    **{harm: change(zipped(array(), "images.npy")) for harm, change in HARMED.items()},
    "more-than-memory": zipped(array("(10**15,)".replace("10**15", "1" + "0" * 15), "<f8"), "images.npy"),
    "an-overflow": zipped(array(f"({2**62}, {2**62})", "<f8"), "images.npy"),
    "below-zero": zipped(array("(-3, 4)"), "images.npy"),
    "an-open-bracket": zipped(array("((((2, 4"), "images.npy"),
    "no-header": zipped(b"\x93NUMPY\x01\x00", "images.npy"),
    "nested": zipped(array("(" * 3000 + "2" + ")" * 3000), "images.npy"),
    "objects": zipped(array("(2,)", "|O"), "images.npy"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_npz_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / "own.npz"
    file.write_bytes(ARRAYS[name])
    with pytest.raises(CorruptError, match=r"own\.npz must be a whole \.npz file of plain arrays, got .+[^.]\."):
        load_arrays(str(file))


def test_a_tar_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        member = tarfile.TarInfo("a/1.png")
        member.size = len(picture()) * 900
        packed.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(member.size)))
    file = tmp_path / "images.tar.gz"
    for data in (content.getvalue()[:20_000], content.getvalue()[:9000] + bytes(9000) + content.getvalue()[18_000:]):
        file.write_bytes(data)
        with pytest.raises(CorruptError, match="must be a whole archive"):
            unpack.unpacked(file)
        with pytest.raises(CorruptError, match=r"cifar10: .* must be"):
            cifar10._records(file, ("1.png",))  # pyright: ignore[reportPrivateUsage]


def test_a_name_twice_and_a_file_where_a_folder_belongs_are_refused(tmp_path: Path, cache: Path) -> None:
    for number, names in enumerate((["a/1.png", "a/1.png"], ["a", "a/1.png"])):
        file = tmp_path / f"{number}.tar"
        with tarfile.open(file, "w") as packed:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 3
                packed.addfile(member, io.BytesIO(b"abc"))
        with pytest.raises(CorruptError, match="must have names of their own"):
            unpack.unpacked(file)


def test_a_member_whose_name_no_system_takes_is_refused(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "long.zip"
    file.write_bytes(zipped(b"abc", "x" * 300 + ".png"))
    with pytest.raises(CorruptError, match="names in an archive must be ones that the system takes"):
        unpack.unpacked(file)


class Full(io.RawIOBase):
    """A file on a disk that is full: it can be opened, and neither written nor closed in good order."""

    def writable(self) -> bool:
        return True

    def write(self, b: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("at", ["open", "write", "folder"])
def test_a_disk_that_is_full_is_no_fault_of_the_archive(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    file = tmp_path / "images.zip"
    file.write_bytes(zipped(picture()))
    before, mkdir = Path.open, Path.mkdir

    def full(path: Path, mode: str = "r") -> object:
        if "x" in mode and at == "open":
            raise OSError(28, "No space left on device")
        return io.BufferedWriter(Full()) if "x" in mode and at == "write" else before(path, mode)

    def no_folder(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if at == "folder" and path.name == "a":
            raise OSError(28, "No space left on device")
        mkdir(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "mkdir", no_folder)
    with pytest.raises(StorageError, match=r"must be writable, got .*No space left on device"):
        unpack.unpacked(file)
    assert not list((cache / "unpacked").iterdir())


PNG_ENDS = picture()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


IMAGES: dict[str, tuple[str, bytes]] = {
    "a-huge-png": ("png", PNG_ENDS[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))),
    "no-size-png": ("png", PNG_ENDS[:8] + chunk(b"IHDR", b"\0\0")),
    "an-empty-profile": ("png", PNG_ENDS[:33] + chunk(b"iCCP", b"") + PNG_ENDS[33:60]),
    "zero-tiff": ("tiff", b"II*\0\x08\0\0\0\x01\0\0\x01\x04\0\x01\0\0\0\0\0\0\0\0\0\0\0"),
    "nothing-in-gif": ("gif", b"GIF89a\x06\0\x05\0\0\0\0"),
    "a-ppm-of-words": ("ppm", b"P6 six five 255\n" + bytes(90)),
    "a-bmp-of-ends": ("bmp", b"BM" + b"\xff" * 60),
    "a-webp-of-nothing": ("webp", b"RIFF\x04\0\0\0WEBPVP8 "),
    "a-jpeg-of-markers": ("jpg", b"\xff\xd8\xff\xc0\0\x02\xff\xda\0\x02\xff\xd9"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_cannot_be_decoded_is_refused_by_name(tmp_path: Path, name: str) -> None:
    ending, data = IMAGES[name]
    for number in range(2):
        (tmp_path / f"odd-{number}.{ending}").write_bytes(data)
    dataset = ImageFolder(ImageFolderOptions(root=str(tmp_path)))
    with pytest.raises(CorruptError, match=rf"odd-.\.{ending} must be an image that can be decoded, got .+"):
        dataset.split("train")


PROFILES: dict[str, tuple[dict[str, object], bool]] = {
    "srgb": ({"icc_profile": b"\0\0\0\0 desc sRGB IEC61966-2.1"}, False),
    "srgb-in-two-bytes": ({"icc_profile": b"mluc" + "sRGB built-in".encode("utf-16-be")}, False),
    "display-p3": ({"icc_profile": b"mluc" + "Display P3".encode("utf-16-be")}, True),
    "adobe": ({"icc_profile": b"\0\0\0\0 desc Adobe RGB (1998)"}, True),
    "none": ({}, False),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_colour_profile_that_is_not_applied_is_counted_once(tmp_path: Path, name: str, ending: str) -> None:
    info, other = PROFILES[name]
    for number in range(3):
        image = Image.new("RGB", (6, 5), (200, 30, number))
        image.save(tmp_path / f"{number}.{ending}", **(info if number else {}))  # pyright: ignore[reportArgumentType]
    warnings = ImageFolder(ImageFolderOptions(root=str(tmp_path))).warnings()
    said = [text for text in warnings if "profile" in text]
    assert len(said) == other
    assert all("2 images have a colour profile or gamma other than sRGB's" in text for text in said)


@pytest.mark.parametrize(("gamma", "other"), [(45455, 0), (100_000, 1), (55556, 1)])
def test_a_gamma_that_is_not_applied_is_counted(tmp_path: Path, gamma: int, other: int) -> None:
    png = picture()
    (tmp_path / "0.png").write_bytes(png[:33] + chunk(b"gAMA", struct.pack(">I", gamma)) + png[33:])
    (tmp_path / "1.png").write_bytes(png)
    warnings = ImageFolder(ImageFolderOptions(root=str(tmp_path))).warnings()
    assert sum("1 image has a colour profile or gamma" in text for text in warnings) == other


def test_a_reason_is_never_empty() -> None:
    assert reason(MemoryError()) == "more than fits in memory"
    assert reason(zipfile.BadZipFile("it ends.")) == "it ends"
    assert reason(RuntimeError()) == "RuntimeError"


def test_errors_about_an_archive_name_the_archive(tmp_path: Path, cache: Path) -> None:
    content = {
        "empty": {},
        "inner": {"in.zip": zipped(picture())},
        "damaged": {"a/1.png": picture()[:40], "a/2.png": picture()[:40]},
        "sizes": {"a/1.png": picture(), "a/2.png": picture(), "b/1.png": wide(), "b/2.png": wide()},
        "splits": {f"{name}/{part}/1.png": picture() for name in "ab" for part in ("train", "test")},
        "unlike": {f"{split}/{name}/1.png": picture() for split, name in (("train", "a"), ("test", "b"))},
    }
    for name, members in content.items():
        file = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(file, "w") as packed:
            for member, data in members.items():
                packed.writestr(member, data)
        dataset = ImageFolder(ImageFolderOptions(root=str(file)))
        with pytest.raises((CorruptError, UsageError)) as refused:
            _ = dataset.spec, [dataset.split(split) for split in ("train", "test")]
        assert str(cache) not in str(refused.value), name
        assert f"{name}.zip" in str(refused.value) or name == "unlike"


def wide() -> bytes:
    file = io.BytesIO()
    Image.new("L", (9, 5), 7).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"\x93NUMPY\x01\x00" + bytes(90), "one array, as numpy.save writes it"),
        (b"1,2,3\n", "a file of another kind"),
        (b"", "a file of another kind"),
        (b"\x80\x04N.", "a file of another kind"),
    ],
)
def test_a_file_that_is_no_npz_file_is_called_what_it_is(tmp_path: Path, content: bytes, got: str) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(CorruptError, match=rf"must be an \.npz file, got {got}.*numpy\.savez") as refused:
        load_arrays(str(tmp_path / "own.npz"))
    assert "allow_pickle" not in str(refused.value)


PATHS = {
    "nobody's home": ("~nobody_of_that_name/x", "there is no home folder ~nobody_of_that_name"),
    "a long name": ("x" * 300, "too long or has NUL"),
    "a long path": ("/".join(["folder"] * 1000), "too long or has NUL"),
    "NUL": ("a\0b", "too long or has NUL"),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_no_system_takes_is_refused_in_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, words = PATHS[name]
    for refused in (
        lambda: ImageFolderOptions(root=path).anchored(),
        lambda: ImageFolder(ImageFolderOptions(root=path)).spec,
        lambda: load_arrays(path),
        lambda: cache_folder(path),
    ):
        with pytest.raises(UsageError, match=words):
            refused()
    if "\0" not in path:
        monkeypatch.setenv("GENZOO_DATA", path)
        with pytest.raises(UsageError, match=rf"GENZOO_DATA must be a path.*{words}"):
            cache_folder()


@pytest.mark.parametrize("names", [["cat", "cat"], ["cat", ""], ["cat", " \n"]])
def test_class_names_that_cannot_be_told_apart_are_refused(tmp_path: Path, names: list[str]) -> None:
    file = tmp_path / "own.npz"
    np.savez(file, images=np.zeros((4, 4, 4), np.uint8), labels=[0, 1, 0, 1], class_names=names)
    with pytest.raises(UsageError, match=r"class_names must be different words .* at index 1"):
        _ = Npz(NpzOptions(path=str(file))).spec


def test_a_name_with_its_accents_coded_otherwise_is_said_to_be(tmp_path: Path) -> None:
    for split, name in (("train", "caf\u00e9"), ("test", "cafe\u0301")):
        for folder in (name, "tea"):
            (tmp_path / split / folder).mkdir(parents=True)
            (tmp_path / split / folder / "1.png").write_bytes(picture())
    with pytest.raises(UsageError, match="accents coded otherwise"):
        _ = ImageFolder(ImageFolderOptions(root=str(tmp_path))).spec


@pytest.mark.parametrize("name", ["cut.tar.bz2", "cut.zip", "notes.txt"])
def test_a_file_that_is_no_archive_is_said_to_be_a_file(tmp_path: Path, name: str) -> None:
    content = {"cut.tar.bz2": b"BZh91AY&SY" + bytes(40), "cut.zip": cut(zipped(picture()))}
    (tmp_path / name).write_bytes(content.get(name, b"hello"))
    with pytest.raises(UsageError, match=rf"got the file .*{name}.*cut or of another kind"):
        _ = ImageFolder(ImageFolderOptions(root=str(tmp_path / name))).spec
