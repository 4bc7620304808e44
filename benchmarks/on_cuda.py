"""How fast genzoo trains on a CUDA device and in how much memory, against a plain eager loop, side by side in one process.

    python benchmarks/cuda.py [--device cuda] [--rounds 5] [--steps 0] [--runs 3] [--write]

The report's VAE and CVAE and a small network of dense layers, in three batch sizes and both precisions. The plain loop has
the same modules, images on the device, precision and fused Adam, with the report's equations written out, and counts,
checks and reports nothing. genzoo replays its steps as CUDA graphs, and launches their operations one by one. All three
take turns over MNIST's training images; a ratio is the median over rounds of the ratio within a round. Then the report's VAE
is trained as `genzoo run` trains it, for 30 epochs with their evaluations. Without a device it says so and exits 0.
``--quick`` sees that all works, on any device, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from contenders import Genzoo
from machine import describe, ratio, save
from torch import Tensor, nn
from torch.nn import functional

from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import plan
from genzoo.engine.listener import Listener
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.host.plugin_host import host
from genzoo.parts.labels import append_planes, append_vector, one_hot
from genzoo.recipe import parse_recipe
from genzoo.runs.load import splits
from genzoo.types import Capability, Split

MODELS: dict[str, dict[str, Any]] = {
    "the report's VAE": {"model": {"name": "vae"}, "network": {"name": "conv", "options": {"channels": [32, 64, 128]}}},
    "the report's CVAE": {
        "model": {"name": "cvae"},
        "network": {"name": "conv", "options": {"channels": [32, 64, 128]}},
    },
    "MLP 784-400-20": {
        "model": {"name": "vae", "options": {"latent_dim": 20}},
        "network": {"name": "mlp", "options": {"hidden": [400]}},
    },
}
CONTENDERS = ("genzoo", "genzoo, no graphs", "plain")
BATCHES = (128, 1024, 4096)
PRECISIONS = ("fp32", "bf16")


def experiment(name: str, batch: int, precision: str, device: str, **train: Any) -> Experiment:
    """One of `MODELS` on MNIST."""
    train = {"epochs": 1, "batch_size": batch, "precision": precision, "device": device, **train}
    return build(
        plan(parse_recipe({**MODELS[name], "dataset": {"name": "mnist"}, "train": train}, "benchmark"), host())
    )


class Plain:
    """The loop that one would write by hand for the same modules."""

    def __init__(self, made: Experiment, split: Split, device: str, *, channels_last: bool) -> None:
        self.model = made.model.to(device)
        if channels_last:
            self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.encoder, self.decoder = self.model.encoder, self.model.decoder
        conditional = Capability.CONDITIONAL in self.model.capabilities
        self.classes = self.model.image.classes if conditional else None
        self.images, self.labels = split.images.to(device), None if split.labels is None else split.labels.to(device)
        self.batch = made.plan.train.batch_size
        self.kind, self.bf16 = torch.device(device).type, made.plan.train.precision == "bf16"
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def run(self) -> int:
        self.model.train()
        order = torch.randperm(len(self.images), device=self.images.device)
        for index in order.split(self.batch):
            self.step(self.images[index].float().div_(255), self.labels[index] if self.labels is not None else None)
        return -(-len(self.images) // self.batch)

    def step(self, image: Tensor, label: Tensor | None) -> None:
        condition = one_hot(label, self.classes) if self.classes and label is not None else None
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
            seen = image if condition is None else append_planes(image, condition)
            mean, log_variance = self.encoder(seen).float().chunk(2, dim=1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            logits = self.decoder(z if condition is None else append_vector(z, condition))
        distortion = functional.binary_cross_entropy_with_logits(logits.float(), image, reduction="sum") / len(image)
        rate = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / len(image)
        (distortion + rate).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def measured(make: Callable[[], Any], device: str) -> tuple[Any, Callable[[], float], Callable[[], float]]:
    """A contender, a function that times one pass, and one that gives the most memory that a pass takes, in MB."""
    contender = make()
    on_cuda = device.startswith("cuda")

    def wait() -> None:
        if on_cuda:
            torch.cuda.synchronize()

    def timed() -> float:
        wait()
        start = time.perf_counter()
        contender.run()
        wait()
        return time.perf_counter() - start

    def memory() -> float:
        if not on_cuda:
            return float("nan")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        contender.run()
        wait()
        return torch.cuda.max_memory_allocated() / 2**20

    return contender, timed, memory


def compared(name: str, batch: int, precision: str, split: Split, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images a second of both, their ratio, and the memory of each by itself."""
    device = arguments.device
    if 0 < arguments.steps * batch < len(split):
        split = split.subset(arguments.steps * batch)
    peaks: dict[str, float] = {}
    seconds: dict[str, list[float]] = {who: [] for who in CONTENDERS}
    channels_last = any(isinstance(m, nn.Conv2d) for m in experiment(name, batch, precision, "cpu").model.modules())
    makers: dict[str, Callable[[], Any]] = {
        "genzoo": lambda: Genzoo(experiment(name, batch, precision, device), split),
        "genzoo, no graphs": lambda: Genzoo(experiment(name, batch, precision, device, cuda_graphs=False), split),
        "plain": lambda: Plain(experiment(name, batch, precision, device), split, device, channels_last=channels_last),
    }
    for who, make in makers.items():
        _, _, memory = measured(make, device)
        peaks[who] = memory()
    passes = {who: measured(make, device)[1] for who, make in makers.items()}
    for number in range(arguments.rounds + 1):
        for who in CONTENDERS if number % 2 else reversed(CONTENDERS):
            taken = passes[who]()
            if number:
                seconds[who].append(taken)
    rates = {who: len(split) / statistics.median(taken) for who, taken in seconds.items()}
    sys.stderr.write(
        f"{name}, {batch}, {precision}: "
        + ", ".join(f"{who} {rate:,.0f}" for who, rate in rates.items())
        + " images/s\n"
    )
    result: dict[str, Any] = {"model": name, "batch": batch, "precision": precision, "images a second": rates}
    result["genzoo ÷ plain"] = ratio(seconds["plain"], seconds["genzoo"])
    result["genzoo ÷ genzoo without graphs"] = ratio(seconds["genzoo, no graphs"], seconds["genzoo"])
    return result | ({"peak MB": peaks} if device.startswith("cuda") else {})


def whole_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the report's VAE from the built experiment to the last number: 30 epochs, each evaluated."""
    epochs = 2 if arguments.quick else 30
    taken: list[float] = []
    row: dict[str, Any] = {}
    for _ in range(1 if arguments.quick else arguments.runs):
        limit = 512 if arguments.quick else None
        made = experiment("the report's VAE", 128, "auto", arguments.device, epochs=epochs, limit=limit)
        listener = Last()
        began = time.perf_counter()
        Trainer(made, listener, splits(made.dataset, made.plan.train)).fit(Signals())
        taken.append(time.perf_counter() - began)
        row = listener.row
    sys.stderr.write(
        f"{epochs} epochs: {', '.join(f'{each:.1f}' for each in taken)} s; test {row['test']['objective']:.2f}\n"
    )
    return {"epochs": epochs, "seconds": taken, "test objective": row["test"]["objective"]}


class Last(Listener):
    """Keeps the last row."""

    row: dict[str, Any]

    def epoch(self, row: dict[str, Any], stage: object) -> None:
        self.row = row


def main() -> int:
    """Measures and prints, and with ``--write`` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--steps", type=int, default=0, help="at most so many steps a turn; 0: all images")
    parser.add_argument("--runs", type=int, default=3, help="whole runs of 30 epochs")
    parser.add_argument("--quick", action="store_true", help="two rounds over 512 images; the numbers mean nothing")
    parser.add_argument("--write", action="store_true", help="keep the numbers in benchmarks/results.json")
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an old driver
        absent = arguments.device.startswith("cuda") and not torch.cuda.is_available()
    if absent:
        sys.stderr.write("benchmarks/cuda.py: torch sees no CUDA device, so nothing was measured.\n")
        return 0
    if arguments.quick:
        arguments.rounds = 2
    if arguments.write and (arguments.quick or not arguments.device.startswith("cuda")):
        parser.error("--write keeps numbers of a CUDA device that were taken without --quick")
    whole = experiment("MLP 784-400-20", 128, "fp32", "cpu").dataset.split("train")
    split = whole.subset(512) if arguments.quick else whole
    batches = BATCHES[:1] if arguments.quick else BATCHES
    cases = [(name, batch, precision) for name in MODELS for batch in batches for precision in PRECISIONS]
    result = {
        "whole run": whole_run(arguments),
        "cases": [compared(*case, split, arguments) for case in cases],
        "most steps a turn": arguments.steps,
    }
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if arguments.write:
        card = torch.cuda.get_device_name(arguments.device)
        save("cuda", result, describe(torch.get_num_threads()) | {"card": card, "cuda": torch.version.cuda})
    return 0
