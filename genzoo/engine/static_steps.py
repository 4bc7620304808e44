"""Training steps over buffers that never move, so that CUDA can replay a whole step as one graph.

What changes from one step to the next is on the device before the epoch begins: the order of the images and the values of
the scheduled quantities; a counter on the device picks the step's part of them. Noise comes from the default generator,
which is seeded before a step as in any other, and a graph reads that seed when it is replayed. So a step gives the same
bits whether its operations are launched one by one or replayed, and a run may go over to graphs at any step.

References:
    NVIDIA, *CUDA Programming Guide*, "CUDA Graphs"; the rules of capture are in torch's notes on CUDA semantics.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from genzoo.engine.data import Loader
from genzoo.engine.evaluate import pack
from genzoo.engine.fitting import FitPrior
from genzoo.interfaces.generator import Generator as Model
from genzoo.interfaces.objective import Objective
from genzoo.types import Batch, Context

if TYPE_CHECKING:
    from genzoo.engine.stage import Stage, Turn

_SMALL = 1000
"""Numbers up to which an attribute is watched."""

WARM_UP = 3
"""Times that a part of a step is run and watched before it is captured; libraries and the optimizer get ready in them."""


def unfit(stage: Stage) -> str | None:
    """Why the steps of a stage cannot be static, in words; None where nothing is known that speaks against it."""
    loader, objective = stage.loaders["train"], stage.objective
    if stage.workers.size > 1:
        return "several processes train together"
    if isinstance(loader, Loader) and loader.split.mapped:
        return "the images stay in a file"
    if type(stage.model).after_step is not Model.after_step and not isinstance(objective, FitPrior):
        return f"{type(stage.model).__name__} does something after each step"
    if type(objective).after_step is not Objective.after_step:
        return f"{type(objective).__name__} does something after each step"
    if any(turn.player.every != 1 for turn in stage.turns.values()):
        return "a player takes no turn at some steps"
    if any(not turn.optimizer.defaults.get("fused") for turn in stage.turns.values()):
        return f"{stage.options.optimizer} has no fused kernel"
    return None


class StaticSteps:
    """The steps of a stage with a full batch; the last one of an epoch, where it is smaller, is not among them.

    Args:
        stage: Whose steps they are; `unfit` has nothing against it.
        capture: Whether to replay them as CUDA graphs. If not, their operations are launched one by one.
    """

    def __init__(self, stage: Stage, *, capture: bool) -> None:
        self._stage = stage
        self.batch_size = stage.options.batch_size
        self.steps = len(stage.loaders["train"]) // self.batch_size
        self._driven = tuple(stage.plan.schedule.schedulers)
        device = torch.device(stage.settings.device)
        self._order = torch.zeros(self.steps, self.batch_size, dtype=torch.int64, device=device)
        self._table = torch.zeros(self.steps, len(self._driven), device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._values = torch.zeros(len(self._driven), device=device)
        self._index = torch.zeros(self.batch_size, dtype=torch.int64, device=device)
        self._batch: Batch | None = None
        (first, *others) = stage.turns.items()
        bodies = [lambda: (self._next(), self._turn(*first)), *(_bound(self._turn, *other) for other in others)]
        watched = (stage.model, stage.objective)
        self.parts = [Replayed(body, watched, device, capture=capture) for body in bodies]

    @property
    def reason(self) -> str | None:
        """Why nothing is captured, once that is known."""
        return next((part.reason for part in self.parts if part.reason), None)

    def begin(self, order: Tensor, steps: range, values: Callable[[int], Mapping[str, float]]) -> None:
        """Before the steps of an epoch.

        Args:
            order: int64, the epoch's images; more than those of the full batches are left alone.
            steps: Those of the epoch that will be taken.
            values: Step of the epoch → the scheduled quantities.
        """
        self._order.copy_(order[: self._order.numel()].view_as(self._order))
        steps = steps[: max(self.steps - steps.start, 0)]
        if self._driven and steps:
            rows = [[values(step)[name] for name in self._driven] for step in steps]
            self._table[steps.start : steps.stop].copy_(torch.tensor(rows, dtype=torch.float32))
        self._at.fill_(steps.start)

    def take(self) -> None:
        """Take the next step of the epoch."""
        stage, step = self._stage, self._stage.state.step
        for number, (part, (name, turn)) in enumerate(zip(self.parts, stage.turns.items(), strict=True)):
            part(_bound(stage.reseed, step, *([name] if number else [])))
            turn.totals.images += self.batch_size
        if stage.trainer.averages is not None:
            stage.trainer.averages.update(step)

    def _next(self) -> None:
        """The step's images and values into their buffers."""
        self._index.copy_(self._order.index_select(0, self._at)[0])
        self._values.copy_(self._table.index_select(0, self._at)[0])
        self._at.add_(1)
        self._batch = self._stage.loaders["train"].batch(self._index, training=True)

    def _turn(self, name: str, turn: Turn) -> None:
        stage, batch = self._stage, self._batch
        assert batch is not None
        values: dict[str, float | Tensor] = dict(stage.plan.schedule.configured)
        values |= dict(zip(self._driven, self._values.unbind(), strict=True))
        with _capturable(turn.optimizer, values[turn.player.lr]):
            context = Context(values, len(stage.loaders["train"]), stage.settings.autocast)
            turn.optimizer.zero_grad(set_to_none=True)  # of a capture that failed
            terms = stage.objective.step(stage.forward, batch, context, name)
            means = turn.step(terms.objective, stage.state.step, pack(terms))
        turn.totals.sum(terms, means, self.batch_size)


class Replayed:
    """A part of a step: run and watched at first, then captured and replayed.

    Args:
        body: The part; it reads and writes tensors that stay where they are.
        modules: Whose attributes are watched.
        device: Where its tensors are.
        capture: Whether to capture it at all.
    """

    def __init__(
        self, body: Callable[[], object], modules: Iterable[nn.Module], device: torch.device, *, capture: bool
    ) -> None:
        self._body, self._modules, self._device = body, tuple(modules), device
        self._capture = capture
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self.reason: str | None = None

    @property
    def captured(self) -> bool:
        """Whether it is replayed."""
        return self._graph is not None

    def __call__(self, seed: Callable[[], None]) -> None:
        """Do it once.

        Args:
            seed: Seeds the default generators for it.
        """
        seed()
        if self._graph is not None:
            self._graph.replay()
        elif self._runs < WARM_UP:
            self._runs += 1
            self._warm_up()
        elif not self._capture or self.reason:
            self._body()
        else:
            self._record(seed)

    def _warm_up(self) -> None:
        """Run it and, the last time, when all that is made once has been made, look for what a replay would leave out."""
        if self._runs < WARM_UP:
            with _on_side_stream(self._capture):
                self._body()
            return
        before = _outside(self._modules, self._device)
        with _on_side_stream(self._capture), _waits(self._capture) as waits:
            self._body()
        after = _outside(self._modules, self._device)
        changed = [name for name in after if name in before and not _alike(before[name], after[name])]
        changed += [name for name in after if name not in before]
        if waits:
            self.reason = "a step waits for the device"
        elif changed:
            self.reason = f"a step changes {changed[0]}"

    def _record(self, seed: Callable[[], None]) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._body()
        except Exception as error:  # Torch has no one class for what cannot be captured.
            self.reason = f"CUDA cannot capture a step: {str(error).splitlines()[0]}"
            _renew_generator()
            seed()
            self._body()
            return
        self._graph = graph
        graph.replay()


def _bound(function: Callable[..., Any], *given: Any) -> Callable[[], Any]:
    return lambda: function(*given)


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer, lr: float | Tensor) -> Generator[None]:
    """Let an optimizer read its learning rate from the device, for a block."""
    kept = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = lr
        if "capturable" in group:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, before in zip(optimizer.param_groups, kept, strict=True):
            group.update(before)


def _outside(modules: Iterable[nn.Module], device: torch.device) -> dict[str, Any]:
    """What a step might change that no replay changes: the processor's random generators, plain attributes of modules,
    tensors of the processor, and which tensor an attribute names.
    """
    found: dict[str, Any] = {
        "the state of the module random": random.getstate(),
        "the state of numpy's random generator": repr(np.random.get_state(legacy=False)),
    }
    if device.type != "cpu":
        found["the state of torch's random generator of the CPU"] = torch.default_generator.get_state()
    for module in modules:
        for path, part in module.named_modules():
            where = f"{type(module).__name__}.{path}" if path else type(module).__name__
            attributes = {**vars(part), **part._buffers, **part._parameters}  # pyright: ignore[reportPrivateUsage]
            for name, value in attributes.items():
                if isinstance(value, Tensor):
                    found[f"which tensor {where}.{name} is"] = value.data_ptr()
                    if name in vars(part) and value.device.type == "cpu" and value.numel() < _SMALL:
                        found[f"{where}.{name}"] = value.detach().clone()
                elif _is_plain(value):
                    found[f"{where}.{name}"] = repr(value)
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        items = [*value, *value.values()] if isinstance(value, dict) else list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return len(items) < _SMALL and all(isinstance(item, (bool, int, float, str)) for item in items)  # pyright: ignore[reportUnknownVariableType]
    return value is None or isinstance(value, (bool, int, float, str))


def _alike(before: object, after: object) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return torch.equal(before, after)
    return before == after


@contextmanager
def _on_side_stream(capture: bool) -> Generator[None]:
    """On a stream of its own, since gradients that are noted on the default stream cannot be captured later."""
    if not capture:
        yield
        return
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


@contextmanager
def _waits(capture: bool) -> Generator[list[str]]:
    """What waited for the device in a block, as torch tells it."""
    found: list[str] = []
    if not capture:
        yield found
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in told:
        text = str(warning.message)
        if "called a synchronizing CUDA operation" in text:
            found.append(text)
        elif "Synchronization debug mode is a prototype" not in text:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _renew_generator() -> None:
    """After a capture that failed: the default generator would refuse to be used again."""
    for number, generator in enumerate(torch.cuda.default_generators):
        generator.graphsafe_set_state(torch.Generator(f"cuda:{number}"))
