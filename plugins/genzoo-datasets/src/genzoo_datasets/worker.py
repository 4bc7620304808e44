"""A process that decodes images for another: ``python -m genzoo_datasets.worker``. Imports no torch.

It reads lines of JSON: first the `Target`, then lists of files. To each list it answers with one line of JSON, and with
the bytes that the line announces; or with an error. It ends with its input, so that it outlives nobody.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo_datasets.decode import Decoder, ImageFile, Target

ERRORS: dict[str, type[GenzooError]] = {"corrupt": CorruptError, "usage": UsageError}
"""What may be wrong with an image."""


def main() -> None:
    """Answers until the input ends."""
    # Ctrl-C reaches every process of a terminal; the one that asked decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with Decoder(Target(**json.loads(requests.readline()))) as decoder:
        for line in requests:
            try:
                data = decoder.decode([ImageFile(*file) for file in json.loads(line)]).data
                answer = {"bytes": data.nbytes}
            except tuple(ERRORS.values()) as error:
                kind = next(name for name, known in ERRORS.items() if isinstance(error, known))
                data, answer = b"", {"error": kind, "message": error.message, "hint": error.hint}
            try:
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.write(data)
                answers.flush()
            except OSError:
                # Whoever asked is gone. No exit in good order, which would try to write the rest.
                os._exit(1)


if __name__ == "__main__":
    main()
