"""What it costs to sample: how often the network runs, how long that takes, and how large the model is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator as Iterated
from collections.abc import Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from genzoo.interfaces import Generator, Measurement, Metric, RunView
from genzoo.process import processor
from genzoo_metrics.judged import takes_labels
from genzoo_metrics.options import SamplingCostOptions


class SamplingCost(Metric):
    """How often the network runs for one batch of samples, with the time that 1000 samples take.

    The metric's own number is the number of evaluations: the most often that one layer with weights is called for a batch,
    counted by forward hooks. It is 1 for a GAN or a VAE, the number of solver steps for flow matching, and one for each
    pixel or more for a PixelCNN. Classifier-free guidance asks for both images in one call, which counts once. ``seconds``
    is the time of 1000 samples after one batch to warm up, on the processor that the protocol names, and holds for that
    one alone. ``parameters`` are all of the model, an encoder's among them.

    A conditional model draws its classes in turn, or the conditions of test images.

    Args:
        options: How many samples are timed, and how many at once.
    """

    on = Generator
    reads = frozenset({"test"})
    bounds = (0, None)
    unit = "evaluations"

    @property
    def _own(self) -> SamplingCostOptions:
        return cast(SamplingCostOptions, self.options)

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("")

    def _protocol(self, where: str) -> str:
        own = self._own
        at_once = min(own.batch, own.images)
        return (
            f"{own.images} samples, {at_once} at once, after one batch to warm up{where}; evaluations are "
            "calls of the layer that is called most, for one batch"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        own, model = self._own, run.model
        with counted(model) as calls:
            model.sample(min(own.batch, own.images), _labels(run, min(own.batch, own.images)), seed=0)
        sizes = [min(own.batch, own.images - start) for start in range(0, own.images, own.batch)]
        labels = {size: _labels(run, size) for size in sizes}
        _wait(run.device)
        began = time.perf_counter()
        for number, size in enumerate(sizes):
            model.sample(size, labels[size], seed=number + 1)
        _wait(run.device)
        seconds = time.perf_counter() - began
        numbers = {
            "": float(max(calls.values(), default=0)),
            "seconds": seconds * 1000 / own.images,
            "parameters": float(sum(p.numel() for p in model.parameters())),
        }
        warnings = () if calls else ("no call of a layer with weights was seen, so that evaluations are not counted.",)
        return Measurement(
            numbers,
            units={"seconds": "seconds", "parameters": "parameters"},
            protocol=self._protocol(f", on {_machine(run.device)}"),
            warnings=warnings,
        )


@contextmanager
def counted(model: nn.Module) -> Iterated[Counter[str]]:
    """Counts in a block how often each module that has weights of its own is called, by name.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> with counted(nn.Sequential(layer, nn.ReLU(), layer)) as calls:
        ...     _ = layer(layer(torch.zeros(1, 2)))
        >>> dict(calls)
        {'0': 2}
    """
    calls: Counter[str] = Counter()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _labels(run: RunView, n: int) -> Tensor | None:
    """Labels of ``n`` samples where the model takes any: the classes in turn, or the conditions of test images."""
    if not takes_labels(run.model):
        return None
    if run.image.classes is not None:
        return torch.arange(n, device=run.device) % run.image.classes
    conditions = run.batch(n).label
    assert conditions is not None
    return conditions[torch.arange(n, device=run.device) % len(conditions)]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} {'thread' if threads == 1 else 'threads'}"
