"""A plugin's code contained: an attempt to end the process becomes an ordinary error, the user's Ctrl-C stays one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from genzoo.errors import AbruptExit, describe


class Contained:
    """A block of a plugin's code, in which an attempt to end the process becomes an ordinary error.

    The user's Ctrl-C passes; a ``KeyboardInterrupt`` that the plugin raises by itself does not.

    Raises:
        AbruptExit: If the code raises what is no `Exception`.
    """

    def __init__(self) -> None:
        self._interrupted = False
        self._handler: object = None

    def __enter__(self) -> Contained:
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.getsignal(signal.SIGINT)
            if self._handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self.interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        default = self._handler is signal.default_int_handler
        if default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if error is None or isinstance(error, Exception) or self._interrupted:
            return
        # Nothing but a handler raises for a signal: one that is ignored, as under nohup, is not the user's Ctrl-C.
        if callable(self._handler) and not default and not isinstance(error, (SystemExit, GeneratorExit)):
            return  # raised by a signal handler of genzoo's or of the caller's
        raise AbruptExit(describe(error)) from error

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """The handler of SIGINT in the block."""
        self._interrupted = True
        raise KeyboardInterrupt
