"""Files that anybody may have written, read within bounds and checked against a model. Imports no torch.

A file may be valid JSON and yet a list where an object belongs, nested until the parser overflows, or larger than
memory. Each of these is a `CorruptError` that names the file, and where there is one the line.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genzoo.errors import CorruptError, UsageError

MOST_BYTES = 16 * 2**20
"""Of a file that is read as a whole."""

MOST_ARRAY_BYTES = 2**30
"""Of the arrays of an npz file, unpacked."""

LONGEST_LINE = 2**20
"""Bytes of a line of metrics.jsonl."""

DEPTH = 50
"""How deep objects and arrays may be nested."""

LONGEST_PATH = 4096
"""Characters."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)


class Shape(BaseModel):
    """What must be true of a JSON object; fields that it does not name are let through."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=())


def _file_name(name: str) -> str:
    if Path(name).name != name or "\0" in name or name in {"", ".", ".."}:
        raise ValueError("must be a file's name without a folder")
    return name


Count = Annotated[int, Field(ge=0, lt=2**63)]
Epoch = Annotated[int, Field(ge=0, le=1_000_000)]
FileName = Annotated[str, Field(max_length=255), AfterValidator(_file_name)]
Number = float | int | None


def user_path(given: str | Path, what: str) -> Path:
    """The absolute path of what a person wrote, with ``~`` as the home folder.

    Args:
        given: A path.
        what: Names it, for errors, as ``"data: root"``.

    Raises:
        UsageError: If there is no such home folder, or no system takes such a name.
    """
    text = str(given)
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        home = text.replace("\\", "/").partition("/")[0]
        raise UsageError(f"{what} must be a path, got {_short(text)}: there is no home folder {home}.") from None
    if "\0" in text or len(text) > LONGEST_PATH or any(len(os.fsencode(part)) > 255 for part in path.parts):
        raise UsageError(f"{what} must be a path that the system takes, got one that is too long or has NUL.")
    return path.absolute()


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The content of a small UTF-8 file.

    Raises:
        CorruptError: If it is absent, larger than ``most`` bytes, no regular file, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise CorruptError(f"read: {path} must be a file, and is none.")
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise CorruptError(f"read: {path} must have at most {most:,} bytes, and has more.")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptError(f"read: {path} must be UTF-8 text: {error.reason} at byte {error.start}.") from None
    except MemoryError:
        raise CorruptError(f"read: {path} does not fit in memory.") from None
    except (OSError, ValueError) as error:  # A ValueError is a NUL in the name.
        raise CorruptError(f"read: {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def read_json(path: Path, shape: type[Shape], most: int = MOST_BYTES) -> dict[str, Any]:
    """A JSON object from a file, checked against ``shape``.

    Returns:
        What the file says, unchanged.

    Raises:
        CorruptError: If it is not readable, no JSON, or of another shape.
    """
    return parse_json(read_text(path, most), shape, str(path))


def parse_json(text: str, shape: type[Shape], source: str) -> dict[str, Any]:
    """`read_json` of a text; ``source`` names where it is from."""
    try:
        if nested_deeper(text, DEPTH):
            raise CorruptError(f"read: {source} must be nested at most {DEPTH} levels deep, and is deeper.")
        value = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptError(f"read: {source} is not valid JSON: {reason}.") from None
    return checked(value, shape, source)


def checked(value: Any, shape: type[Shape], source: str) -> dict[str, Any]:
    """A parsed value, unchanged, if it has a shape.

    Raises:
        CorruptError: If not, with the field, the rule and the value.
    """
    try:
        shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its content"
        rule = first["msg"].replace("Input should be", "must be", 1).replace("Input should", "must", 1)
        if first["type"] == "model_type":
            rule = "must be an object in braces"
        rule = rule.replace("Value error, ", "").replace("Field required", "must be given")
        got = "" if first["type"] == "missing" else f", got {_short(first['input'])}"
        raise CorruptError(f"read: {source} is damaged: {place} {rule}{got}.") from None
    return value


def nested_deeper(text: str, depth: int) -> bool:
    """Whether brackets and braces outside strings are nested deeper than ``depth``.

    Example:
        >>> nested_deeper('{"a": [1, "[["]}', 2), nested_deeper("[[[", 2)
        (False, True)
    """
    if text.count("[") + text.count("{") <= depth:
        return False
    level = 0
    for match in _BRACKETS.finditer(text):
        level += (match[1] is not None) - (match[2] is not None)
        if level > depth:
            return True
    return False


def lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The lines of a text file: number from 1, text, and whether a newline ends it; none where there is no file.

    Raises:
        CorruptError: If it cannot be read or a line is too long.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise CorruptError(f"read: {path}, line {number} must have at most {LONGEST_LINE:,} bytes.")
                yield number, line.decode("utf-8", errors="replace"), line.endswith(b"\n")
    except FileNotFoundError:
        return
    except (OSError, MemoryError) as error:
        raise CorruptError(f"read: {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


UNREADABLE_ZIP = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # Encrypted; NotImplementedError, of another compression, is one too.
    OverflowError,
    MemoryError,
    SyntaxError,  # An array's header, which numpy parses as Python.
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What numpy and zipfile raise of a file that is damaged or made to harm."""


def reason(error: BaseException) -> str:
    """What an error says, for the middle of a sentence; its name where it says nothing.

    Example:
        >>> reason(ValueError("no magic number.")), reason(EOFError()), reason(MemoryError())
        ('no magic number', 'EOFError', 'more than fits in memory')
    """
    if isinstance(error, MemoryError):
        return "more than fits in memory"
    return str(error).strip().rstrip(".") or type(error).__name__


def refuse_large_arrays(data: bytes, most: int = MOST_ARRAY_BYTES) -> None:
    """Refuse an npz file whose members would unpack to more than ``most`` bytes.

    Raises:
        ValueError: If they would.
        zipfile.BadZipFile: If it is no zip file.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > most:
        raise ValueError(f"its arrays must have at most {most:,} bytes, and have {size:,}")


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:40] + "…"
