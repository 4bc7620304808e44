"""Decoding chunks of images in several processes, in order."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict

from genzoo.errors import GenzooError
from genzoo.parts.decoded import cores
from genzoo_datasets.decode import Decoder, ImageFile, Target
from genzoo_datasets.worker import ERRORS

WORTH_PROCESSES = 2000
"""Fewer images than these are decoded sooner than processes start."""


def decode_chunks(
    chunks: Sequence[Sequence[ImageFile]], target: Target, processes: int | None = None
) -> Generator[bytes | memoryview]:
    """The decoded bytes of each chunk, in order.

    Args:
        chunks: The files of each.
        target: What each image must become.
        processes: How many decode; by default as many as there are cores, where there is enough to do.

    Raises:
        UsageError: As `Decoder.decode` does.
        CorruptError: As `Decoder.decode` does.
        GenzooError: If a process ends unexpectedly.
    """
    if processes is None:
        processes = cores() if sum(map(len, chunks)) >= WORTH_PROCESSES and sys.executable else 1
    processes = min(processes, len(chunks))
    if processes < 2:
        with Decoder(target) as decoder:
            for chunk in chunks:
                yield decoder.decode(chunk).data
        return
    # One thread a process talks with it; chunks that are done before their turn wait, a bounded number of them.
    workers = [_Worker(target) for _ in range(processes)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def decode(chunk: Sequence[ImageFile]) -> bytes:
        worker = idle.get()
        try:
            return worker.decode(chunk)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(processes)
    pending: deque[Future[bytes]] = deque()
    try:
        for chunk in chunks:
            pending.append(threads.submit(decode, chunk))
            if len(pending) > 2 * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for worker in workers:
            worker.end()
        threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()


class _Worker:
    """A process of `genzoo_datasets.worker`."""

    def __init__(self, target: Target) -> None:
        self._dataset = target.dataset
        # It finds modules where this process does, and none in the folder that this process was started in.
        found = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-P", "-m", "genzoo_datasets.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=found)
        self._send(asdict(target))

    def decode(self, files: Sequence[ImageFile]) -> bytes:
        """The decoded bytes of files."""
        self._send([(file.path, file.member) for file in files])
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else None
        if answer is not None and "error" in answer:
            raise ERRORS[answer["error"]](answer["message"], answer["hint"])
        data = self._process.stdout.read(answer["bytes"]) if answer is not None else b""
        if answer is None or len(data) != answer["bytes"]:
            raise GenzooError(
                f"{self._dataset}: a process that decodes images ended, between {files[0]} and {files[-1]}.",
                "Run it again; what is decoded is kept.",
            )
        return data

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close what was used to talk with it, once nobody does."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert stream is not None
                stream.close()

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        # One that ended is found when its answer is read.
        with suppress(OSError):
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
