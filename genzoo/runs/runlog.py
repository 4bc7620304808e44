"""The log of a run, in its folder: everything that genzoo logs meanwhile, tracebacks included. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genzoo.text import one_line, visible


class _RunLog(logging.FileHandler):
    """A log whose disk may fill up: what it cannot write is lost, and the run goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name that logging calls
        pass


class _VisibleFormatter(logging.Formatter):
    """A message on one line, and tracebacks in theirs, without what a terminal that shows the log would obey."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return visible(super().formatException(ei))


@contextmanager
def logging_to(path: Path) -> Generator[None]:
    """Everything that genzoo logs, tracebacks included, also goes to the run's log."""
    logger = logging.getLogger("genzoo")
    handler = _RunLog(path, encoding="utf-8", delay=True)
    handler.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        with suppress(OSError):
            handler.close()
