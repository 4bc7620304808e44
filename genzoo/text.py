"""Text from outside, made safe to show: what a terminal, a log or an editor would obey becomes a visible escape.

Summaries, errors, titles, class names, file names and recipes can come from anybody. Everything genzoo prints or logs
passes through `one_line` or `visible`. Importing this module imports ``re`` alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor, colours, titles, bells
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidirectional and invisible
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates: bytes of a file name that are no text
    "\U000e0000-\U000e007f"  # tags, which show as nothing
    "]"
)
_BREAK = re.compile(r"\r?\n|\t")

before_text: list[Callable[[], None]] = []
"""What a `VisibleStream` calls before it writes: it removes the progress line that is shown, if one is."""


def visible(text: str, keep: str = "\n") -> str:
    r"""Text whose control, bidirectional and invisible characters are escapes, as Python writes them.

    Args:
        text: Any text.
        keep: Control characters that the layout means.

    Example:
        >>> print(visible("red \x1b[31m \u202e"))
        red \x1b[31m \u202e
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def one_line(text: str) -> str:
    r"""`visible` text on one line: each line break and tab becomes a space.

    Example:
        >>> print(one_line("a title\nError: not ours"))
        a title Error: not ours
    """
    return visible(_BREAK.sub(" ", text), keep="")


def json_text(text: str) -> str:
    r"""JSON whose strings hold no unsafe character: each is written as JSON's own ``\u`` escape.

    Args:
        text: Valid JSON, whose line breaks and indentation are kept.

    Example:
        >>> print(json_text('["\x9b"]'))
        ["\u009b"]
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), text)


def toml_text(text: str) -> str:
    """`json_text` for TOML, whose escapes of basic strings are the same up to U+FFFF."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in "\n\t" else _toml_escape(found[0]), text)


class VisibleStream:
    """A text stream through which no terminal can be commanded; the other methods are those of the stream itself.

    Tabs, line breaks and carriage returns pass, since progress bars of libraries need them.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """See `io.TextIOBase.write`."""
        if text and before_text:
            before_text[0]()
        self._stream.write(visible(text, keep="\n\t\r"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """See `io.IOBase.writelines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def behind(self) -> Any:
        """The stream itself; see `bare`."""
        return self._stream


def bare(stream: Any) -> Any:
    """The stream behind a `VisibleStream`, for colours and progress lines that genzoo lays out itself.

    Text from outside must pass through `one_line` or `visible` before it is written there.
    """
    while isinstance(stream, VisibleStream):
        stream = stream.behind()
    return stream


@contextmanager
def visible_streams() -> Generator[None]:
    """While entered, what anything writes to ``sys.stdout`` and ``sys.stderr`` passes through `visible`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (  # None where one was closed
        stream if stream is None or isinstance(stream, VisibleStream) else VisibleStream(stream)  # pyright: ignore
        for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _escape(character: str) -> str:
    if character in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _toml_escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
