"""Signals as a flag that long work polls, so that a checkpoint is saved before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType


class StopRequested(BaseException):
    """Raised by `Signals` inside work that can simply be left, such as an evaluation or a figure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP set ``received``; a second SIGINT raises KeyboardInterrupt at once.

    SIGHUP comes when a terminal is closed or a connection lost; it stays ignored where it is, as under ``nohup``. On
    Windows SIGBREAK, which Ctrl-Break and a closed console send, is taken as SIGTERM is.

    It may be entered again within itself. Within `at_once` the first signal raises `StopRequested` by itself, since
    nothing there needs to be saved.
    Outside the main thread handlers cannot be installed, and the flag stays unset.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}
        self._depth = 0
        self._at_once = False

    def __enter__(self) -> Signals:
        self._depth += 1
        if self._depth == 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)
            for name in ("SIGHUP", "SIGBREAK"):  # Windows has no SIGHUP, and it alone has SIGBREAK.
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._previous.clear()

    def poll(self) -> None:
        """Raise `StopRequested` if a signal came."""
        if self.received is not None:
            raise StopRequested(self.received)

    @contextmanager
    def at_once(self) -> Generator[None]:
        """In a block that may be left anywhere: raise `StopRequested` as soon as a signal comes, or came before."""
        self._at_once = True
        try:
            self.poll()
            yield
        finally:
            self._at_once = False

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signum
        if self._at_once:
            raise StopRequested(signum)
