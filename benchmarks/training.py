"""How fast genzoo trains, against other ways to train the same model, side by side in one process.

    pip install pythae==0.1.2 --no-deps && pip install imageio tqdm
    python benchmarks/training.py [--rounds 15] [--threads 2] [--only SECTION …] [--write]

The contenders of a section take turns, a short stretch of steps each, for so many rounds; a ratio is the median over
rounds of the ratio within the round, so that a busy moment of the machine hits all alike. Training steps only: nobody
evaluates or saves. ``--write`` puts the numbers into ``benchmarks/results.json``, from which ``benchmarks/report.py``
makes ``benchmarks/RESULTS.md`` and its plot.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from genzoo.compose.build import Experiment
from genzoo.engine.data import Loader
from genzoo.engine.evaluate import evaluate
from genzoo.types import Context, Split

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from contenders import Bare, Contender, Genzoo, Pythae, Tutorial, experiment  # noqa: E402
from machine import describe, ratio, save  # noqa: E402

REPORT = {"name": "conv", "options": {"channels": [32, 64, 128]}}
SMALL = {"name": "mlp", "options": {"hidden": [400]}}
EPOCH_STEPS = 469
"""Steps of one epoch of MNIST at batch 128."""
REPORT_EPOCHS = 30
QUICK_EPOCHS = 9
"""Epochs in which the recipe `quick-vae` passes the report's total, as docs/results.md has it."""


def interleaved(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Milliseconds a step of each contender, one number a round; the first round warms up and is dropped."""
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            start = time.perf_counter()
            steps = contenders[name].run()
            seen[name].append(1e3 * (time.perf_counter() - start) / steps)
        say(f"round {number} of {rounds}: " + ", ".join(f"{name} {ms[-1]:.1f} ms" for name, ms in seen.items()))
    return {name: ms[1:] for name, ms in seen.items()}


def images(number: int) -> Split:
    """Some training images of MNIST, in every class."""
    return experiment(SMALL, 2, 128, "fp32").dataset.split("train").subset(number)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The report's VAE, batch 128: tutorial loop and pythae against genzoo, and genzoo against the bare step."""
    split = images(128 * arguments.steps)
    made = experiment(REPORT, 2, 128, "auto")
    ours = Genzoo(made, split)
    contenders: dict[str, Contender] = {
        "tutorial": Tutorial(split, 128),
        "genzoo": ours,
        "bare": Bare(experiment(REPORT, 2, 128, "auto"), split, 128, ours.settings.precision),
    }
    with suppress(ImportError):
        contenders["pythae"] = Pythae(split, 128)
    seen = interleaved(contenders, arguments.rounds)
    result: dict[str, Any] = {"precision": ours.settings.precision, "ms": medians(seen)}
    result["tutorial ÷ genzoo"] = ratio(seen["tutorial"], seen["genzoo"])
    if "pythae" in seen:
        result["pythae ÷ genzoo"] = ratio(seen["pythae"], seen["genzoo"])
    result["genzoo ÷ bare"] = ratio(seen["genzoo"], seen["bare"])
    return result


def overhead(network: Mapping[str, Any], latent: int, precision: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """genzoo against the bare step alone, in many short turns."""

    def section(arguments: argparse.Namespace) -> dict[str, Any]:
        split = images(128 * arguments.steps)
        ours = Genzoo(experiment(network, latent, 128, precision), split)
        bare = Bare(experiment(network, latent, 128, precision), split, 128, ours.settings.precision)
        seen = interleaved({"genzoo": ours, "bare": bare}, 3 * arguments.rounds)
        added = [1e3 * (a - b) for a, b in zip(seen["genzoo"], seen["bare"], strict=True)]
        return {
            "precision": ours.settings.precision,
            "ms": medians(seen),
            "microseconds added": statistics.median(added),
            "genzoo ÷ bare": ratio(seen["genzoo"], seen["bare"]),
        }

    return section


def checkpoint(arguments: argparse.Namespace) -> dict[str, Any]:
    """One save of the report's VAE with its optimizer, as a share of an epoch at the default interval of one epoch."""
    from genzoo.engine.checkpoint import save_checkpoint
    from genzoo.engine.checkpoint_folder import prune

    ours = Genzoo(experiment(REPORT, 2, 128, "auto"), images(128 * arguments.steps))
    ours.run()
    start = time.perf_counter()
    steps = ours.run()
    step = (time.perf_counter() - start) / steps
    trainer = ours.trainer
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            start = time.perf_counter()
            save_checkpoint(Path(folder), number, trainer.model, trainer.optimizers(), trainer.loss, trainer.snapshot())
            prune(Path(folder), 2)
            seconds.append(time.perf_counter() - start)
    save_s = statistics.median(seconds)
    return {"save ms": 1e3 * save_s, "epoch s": step * EPOCH_STEPS, "share": save_s / (step * EPOCH_STEPS)}


def evaluation(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluating MNIST's test set as between epochs, as a share of the epoch's training, in turns, in each precision."""
    result: dict[str, Any] = {}
    for precision in ("fp32", "bf16"):
        training, evaluating = epoch_and_evaluation(experiment(REPORT, 2, 128, precision), arguments)
        result[precision] = {
            "epoch s": statistics.median(training),
            "share": ratio(evaluating, training),
        }
    return result


def epoch_and_evaluation(made: Experiment, arguments: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of an epoch of MNIST, from a stretch of its steps, and of evaluating the test set, round by round."""
    batch = made.plan.train.batch_size
    ours = Genzoo(made, images(batch * arguments.steps))
    loader = Loader(made.dataset, made.dataset.split("test"), "cpu", channels_last=ours.settings.channels_last)
    training: list[float] = []
    evaluating: list[float] = []
    for number in range(arguments.rounds + 1):
        start = time.perf_counter()
        steps = ours.run()
        middle = time.perf_counter()
        with ours.settings.fast_arithmetic():
            evaluate(
                made.model,
                made.loss,
                loader,
                Context({}, 60_000),
                seed=number,
                batch_size=500,
                arithmetic=ours.settings.autocast,
            )
        training.append((middle - start) / steps * math.ceil(60_000 / batch))
        evaluating.append(time.perf_counter() - middle)
        say(f"round {number}: an epoch {training[-1]:.1f} s, evaluation {evaluating[-1]:.2f} s")
    return training[1:], evaluating[1:]


def totals(arguments: argparse.Namespace) -> dict[str, Any]:
    """Wall time to the report's totals: its 30 epochs by the tutorial loop, over `quick-vae`, evaluations included."""
    tutorial = Tutorial(images(128 * arguments.steps), 128)
    made = experiment(REPORT, 2, 64, "auto")
    seconds: dict[str, list[float]] = {"tutorial": [], "genzoo": []}
    tutorial.run()
    once = argparse.Namespace(**vars(arguments) | {"rounds": 1})
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        steps = tutorial.run()
        seconds["tutorial"].append((time.perf_counter() - start) / steps * EPOCH_STEPS * REPORT_EPOCHS)
        [epoch], [evaluated] = epoch_and_evaluation(made, once)
        seconds["genzoo"].append((epoch + evaluated) * QUICK_EPOCHS)
    return {
        "epochs": {"tutorial": REPORT_EPOCHS, "genzoo": QUICK_EPOCHS},
        "seconds": medians(seconds),
        "tutorial ÷ genzoo": ratio(seconds["tutorial"], seconds["genzoo"]),
    }


def scale(arguments: argparse.Namespace) -> dict[str, Any]:
    """Images a second of two processes of one thread under torchrun over one process of two threads, in turns."""
    rates: dict[str, list[float]] = {"one": [], "two": []}
    launch = {
        "one": [sys.executable, "-m"],
        "two": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"],
    }
    for number in range(max(2, arguments.rounds // 5)):
        for name, command in launch.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [*command, "genzoo", "run", "vae", "--epochs", "2", "--limit", "12800", "--out", folder]
                environment = os.environ | {"OMP_NUM_THREADS": "2" if name == "one" else "1"}
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                [metrics] = Path(folder).glob("*/*/metrics.jsonl")
                rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
                rates[name].append(rows[-1]["images_per_second"])
        say(f"turn {number}: {rates['one'][-1]:.0f} and {rates['two'][-1]:.0f} images a second")
    return {
        "images a second": {name: statistics.median(seen) for name, seen in rates.items()},
        "two processes ÷ one": ratio(rates["two"], rates["one"]),
    }


def medians(seen: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(ms) for name, ms in seen.items()}


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "report": report,
    "report-overhead": overhead(REPORT, 2, "auto"),
    "small-overhead": overhead(SMALL, 20, "fp32"),
    "to-totals": totals,
    "evaluation": evaluation,
    "checkpoint": checkpoint,
    "scale": scale,
}


def main() -> int:
    """Measures and prints, and with ``--write`` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contender")
    parser.add_argument("--steps", type=int, default=40, help="steps a turn")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch")
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), help="these sections alone")
    parser.add_argument("--write", action="store_true", help="keep the numbers in benchmarks/results.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {"machine": describe(arguments.threads)}
    for name in arguments.only or SECTIONS:
        say(name)
        results[name] = SECTIONS[name](arguments)
        sys.stdout.write(json.dumps({name: results[name]}, indent=2, ensure_ascii=False) + "\n")
        if arguments.write:
            save(name, results[name], results["machine"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
