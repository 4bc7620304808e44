"""The processes that train one run together under ``torchrun``, or the one process that trains alone.

Each process holds the whole data and the whole model, takes its share of every global batch, and sums its gradient
with the others'. So the weights stay equal everywhere, and what is decided from them is decided alike. Only the first
process writes; see `genzoo.training.follow` for what the others do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count, groupby
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genzoo.engine.signals import Signals, StopRequested
from genzoo.errors import DivergedError, Interrupted, UsageError, WorkerLost
from genzoo.launched import launched
from genzoo.randomness import derive
from genzoo.recipe import TrainOptions

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for a process that neither comes nor dies; the first one may draw figures meanwhile."""


class Workers:
    """The processes of a run, seen from one of them. The default trains alone: nothing is sent and nothing changes.

    Args:
        rank: Number of this process; the first one, 0, is the one that writes.
        size: How many processes there are.
        local_rank: Number of this process on its machine, and of its CUDA device.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank

    @property
    def first(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def place(self, train: TrainOptions) -> TrainOptions:
        """The options with the device of this process.

        Raises:
            UsageError: If they name one device for all, or fewer images a step than there are processes.
        """
        if self.size == 1:
            return train
        if train.batch_size < self.size:
            raise UsageError(
                f"run: --batch-size must be at least the number of processes, {self.size}, got {train.batch_size}."
            )
        if ":" in train.device or train.device == "mps":
            raise UsageError(
                f"run: --device must be auto, cpu or cuda with several processes, got {train.device}.",
                "Each process takes the CUDA device of its number on its machine.",
            )
        on_cuda = train.device == "cuda" or (train.device == "auto" and torch.cuda.is_available())
        return train.model_copy(update={"device": f"cuda:{self.local_rank}" if on_cuda else "cpu"})

    # A step's share.

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch. One that has none repeats an image, at `weight` 0, to keep in step."""
        return index if self.size == 1 else index[min(self.rank, len(index) - 1) :: self.size]

    def weight(self, index: Tensor) -> float:
        """The share of a batch's images that are this process's."""
        return len(range(self.rank, len(index), self.size)) / len(index)

    def seed(self, seed: int, *stream: int | str) -> int:
        """A seed for noise that differs between the processes; see `genzoo.randomness.derive`."""
        return derive(seed, *stream) if self.size == 1 else derive(seed, *stream, self.rank)

    # What is sent.

    def sum(self, gradients: Sequence[Tensor], values: Tensor, weight: float) -> Tensor:
        """Weigh and sum gradients, in place, and values over the processes, in one message.

        Args:
            gradients: Those of this process's share.
            values: ``[V]``, means over this process's share.
            weight: See `weight`; at 0 even what is not finite counts for nothing.

        Returns:
            ``[V]``, means over the global batch.
        """
        if self.size == 1:
            return values
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), values])
        flat = flat.mul_(weight) if weight else flat.zero_()
        self._send(lambda: dist.all_reduce(flat))
        *pieces, values = flat.split([*(gradient.numel() for gradient in gradients), len(values)])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))
        return values

    def copy(self, module: nn.Module, *, buffers_only: bool = False) -> None:
        """Give every process the first one's parameters and buffers, or its buffers alone."""
        if self.size == 1:
            return
        tensors = [*module.buffers(), *(() if buffers_only else module.parameters())]
        for _, alike in groupby(sorted(tensors, key=lambda tensor: str(tensor.dtype)), lambda tensor: tensor.dtype):
            group = [tensor.detach() for tensor in alike]
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            self._send(lambda flat=flat: dist.broadcast(flat, 0))
            for tensor, piece in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(piece.view_as(tensor))

    def gather(self, value: T) -> list[T]:
        """Every process's value, in order of rank, for every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        self._send(lambda: dist.all_gather_object(values, value))
        return values

    def tell(self, value: T) -> T:
        """The first process's value, for every process."""
        if self.size == 1:
            return value
        told: list[Any] = [value]
        self._send(lambda: dist.broadcast_object_list(told, 0))
        return told[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        self.gather(None)

    @contextmanager
    def in_turn(self) -> Generator[None]:
        """A block that one process of each machine goes through before the others, to fill caches for them.

        The others wait for as long as that takes, which may be hours where images are fetched or decoded.
        """
        if self.size == 1:
            yield
            return
        turn = f"turn-{next(_turns)}-{os.environ.get('GROUP_RANK', '0')}"
        while self.local_rank and not self._asked(turn):
            time.sleep(0.1)
        yield
        if not self.local_rank:
            self._send(lambda: _store().set(turn, "over"))

    @contextmanager
    def shared(self, signals: Signals) -> Generator[Signals]:
        """Signals to any process as signals to all, noticed by all at the same poll, for a block."""
        if self.size == 1:
            yield signals
            return
        shared = SharedSignals(self, signals)
        yield shared
        shared.answer()

    def _asked(self, turn: str) -> bool:
        """Whether a turn is over."""
        over = False

        def ask() -> None:
            nonlocal over
            over = _store().check([turn])

        self._send(ask)
        return over

    def _send(self, operation: Callable[[], Any]) -> None:
        try:
            operation()
        except RuntimeError as error:
            raise WorkerLost(
                f"run: another process of this run has ended, and the {self.size} go on only together "
                f"({str(error).splitlines()[0][:200]})."
            ) from error


ALONE = Workers()
"""The one process of an ordinary run."""


class SharedSignals(Signals):
    """What `Workers.shared` gives; every process must poll equally often.

    A poll asks the others without waiting, and reads the answer to the poll before, so that the question travels while
    a step is computed.
    """

    def __init__(self, workers: Workers, local: Signals) -> None:
        super().__init__()
        self._workers, self._local = workers, local
        self._flag = torch.zeros(1, dtype=torch.int32)
        self._asked: dist.Work | None = None

    def poll(self) -> None:
        """See `Signals.poll`."""
        if received := self.answer():
            raise StopRequested(received)
        self._flag.fill_(self._local.received or 0)
        self._asked = dist.all_reduce(self._flag, dist.ReduceOp.MAX, async_op=True)

    def answer(self) -> int:
        """Wait for the answer to the last poll: a signal's number, or 0."""
        if self._asked is None:
            return 0
        self._workers._send(self._asked.wait)  # pyright: ignore[reportPrivateUsage]
        self._asked = None
        return int(self._flag)


@contextmanager
def joined() -> Generator[Workers]:
    """The processes that ``torchrun`` started, this one among them, for a block; one alone without it.

    After an ending that all processes come to alike, the others wait for the first one, since ``torchrun`` ends all
    when one of them ends with an error.
    """
    several = launched()
    if several is None:
        yield ALONE
        return
    workers = Workers(several.rank, several.size, several.local_rank)
    if torch.cuda.is_available() and workers.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(workers.local_rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        # A prefix of its own for each block, since a second one must not find the addresses of the first.
        store=dist.PrefixStore(f"genzoo-{next(_blocks)}", _store()),  # pyright: ignore[reportPrivateImportUsage]
        rank=workers.rank,
        world_size=workers.size,
        timeout=TIMEOUT,
    )
    alike = True
    try:
        yield workers
    except (Interrupted, DivergedError):
        with suppress(WorkerLost):
            workers.wait()
        raise
    except BaseException:
        # NCCL might wait for a process that is gone; without it, to leave now is what tells the others.
        alike = not torch.cuda.is_available()
        raise
    finally:
        if alike:
            dist.destroy_process_group()


_blocks = count()
_turns = count()


@cache
def _store() -> dist.Store:  # pyright: ignore[reportPrivateImportUsage]
    """Where the processes that ``torchrun`` started find each other."""
    store, _, _ = next(dist.rendezvous("env://", timeout=TIMEOUT))  # pyright: ignore[reportPrivateImportUsage]
    return store
