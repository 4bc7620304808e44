"""TOML files that anybody may have written, read within bounds. Imports no torch.

A byte order mark is passed over. A file in UTF-16, one that is nested until the parser overflows, and one that is larger
than any recipe are refused with the file and, where there is one, the line.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

from genzoo.errors import UsageError

MOST_BYTES = 1 << 20
"""Of a file; a recipe has a few thousand."""

DEPTH = 50
"""How deep tables and arrays may be nested."""

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_PART = r"""(?:[\w-]++|"[^"\\\n]*+"|'[^'\n]*+')[ \t]*+"""
_TOKENS = re.compile(
    rf"((?<![\w-])(?:{_PART}\.[ \t]*+){{{DEPTH}}})"
    r'|"""(?:[^\\]|\\.)*?"""'
    r"|'''.*?'''"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|\#[^\n]*+"
    r"|([\[{])|([\]}])",
    re.DOTALL,
)
"""A key of too many parts, a string, a comment, a bracket that opens, and one that closes."""
_LONG_NUMBER = re.compile(r"[\d_]{4300,}")
_SAVE = "Save it as UTF-8."


def read_toml(path: Path, what: str = "recipe") -> tuple[dict[str, Any], str]:
    """The content of a TOML file, and its text, to name lines.

    Args:
        path: The file.
        what: What it is read as, for errors.

    Raises:
        UsageError: If it cannot be read, is not UTF-8, no TOML, too deep or too large.
    """
    text = read_text(path, what)
    return parse_toml(text, f"{what}: {path}"), text


def read_text(path: Path, what: str = "recipe") -> str:
    """The text of a TOML file, without its byte order mark. See `read_toml`."""
    try:
        # A named pipe would be waited for; one that a shell makes, <(command), lies in /dev.
        if path.is_fifo() and not any(path.is_relative_to(folder) for folder in ("/dev", "/proc")):
            raise UsageError(f"{what}: {path} must be a file, got a named pipe.")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{what}: {path} does not exist.", "See `genzoo recipe list`.") from None
    except (OSError, ValueError) as error:  # A ValueError is a NUL in the name.
        raise UsageError(f"{what}: {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{what}: {path} must have at most {MOST_BYTES:,} bytes, and has more.")
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise UsageError(f"{what}: {path} must be UTF-8 text, got {name}.", _SAVE)
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise UsageError(f"{what}: {path}, line {line} must be UTF-8 text, got NUL bytes, as UTF-16 has.", _SAVE)
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{what}: {path}, line {line} must be UTF-8 text, got the byte 0x{error.object[error.start]:02x}.", _SAVE
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The content of a TOML text; ``source`` names where it is from. See `read_toml`."""
    if line := _too_deep(text):
        raise UsageError(f"{source}, line {line} must be nested at most {DEPTH} levels deep, and is deeper.")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # Not only a TOMLDecodeError: Python refuses integers of too many digits.
        number = _LONG_NUMBER.search(text)
        where = f", line {_line(text, number.start())}" if number and not _names_a_line(error) else ""
        raise UsageError(f"{source}{where} is not valid TOML: {error}.") from None
    except (RecursionError, MemoryError):
        raise UsageError(f"{source} is too large or nested too deep to be read.") from None


def _too_deep(text: str) -> int:
    """The line where tables and arrays are nested deeper than `DEPTH`; 0 where there is none."""
    if max(text.count("[") + text.count("{"), text.count(".")) < DEPTH:
        return 0
    level = 0
    for match in _TOKENS.finditer(text):
        level += (match[2] is not None) - (match[3] is not None)
        if match[1] or level > DEPTH:
            return _line(text, match.start())
    return 0


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _names_a_line(error: ValueError) -> bool:
    return isinstance(error, tomllib.TOMLDecodeError)
