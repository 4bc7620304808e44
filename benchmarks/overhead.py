"""What a change of the engine costs: training steps of two checkouts of genzoo, in turns.

    git worktree add ../before COMMIT
    python benchmarks/overhead.py ../before [--rounds 200] [--threads 1] [--write]

Each checkout trains in a process of its own, which stands still while the other trains. A round is a short stretch of
steps of each, in an order that changes; the ratio is of the two times within a round. With one thread the time is the
processor time of the process, which other work on the machine hardly changes; with more it is the time on the clock,
since threads that wait for one another use processor time too. Printed are the geometric mean over rounds and its 95 %
limits by Student's t, for the report's VAE and for a small MLP.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEW = HERE.parent
SECTIONS = {
    "report": ({"name": "conv", "options": {"channels": [32, 64, 128]}}, 2, 128, 6),
    "small": ({"name": "mlp", "options": {"hidden": [400]}}, 2, 128, 30),
}
"""Network, latent dimensions, batch size, and steps a round."""


def work(section: str, threads: int) -> None:
    """Train one stretch for each line read, and print its milliseconds a step."""
    import time

    import torch

    torch.set_num_threads(threads)
    sys.path.insert(0, str(Path(os.environ["GENZOO_CHECKOUT"]) / "benchmarks"))
    from contenders import Genzoo, experiment

    import genzoo

    assert Path(genzoo.__file__).is_relative_to(os.environ["GENZOO_CHECKOUT"]), genzoo.__file__
    network, latent, batch_size, steps = SECTIONS[section]
    made = experiment(network, latent, batch_size, "fp32")
    contender = Genzoo(made, made.dataset.split("train").select(slice(0, batch_size * steps)))
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in sys.stdin:
        start = clock()
        taken = contender.run()
        print(1e3 * (clock() - start) / taken, flush=True)  # noqa: T201


class Worker:
    """A checkout's process."""

    def __init__(self, checkout: Path, section: str, threads: int) -> None:
        paths = [str(checkout), *(str(path) for path in sorted(checkout.glob("plugins/*/src")))]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "overhead.py"), "--work", section, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GENZOO_CHECKOUT": str(checkout)},
            encoding="utf-8",
        )

    def run(self) -> float:
        """Milliseconds a step of one more stretch."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def compare(before: Path, section: str, rounds: int, threads: int) -> dict[str, float]:
    """Ratio of a step's time, this checkout ÷ the one before."""
    workers = {"before": Worker(before, section, threads), "now": Worker(NEW, section, threads)}
    seen: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for number in range(rounds + 2):
            for name in sorted(workers, reverse=bool(number % 2)):
                ms = workers[name].run()
                if number >= 2:  # the first two warm up
                    seen[name].append(ms)
    finally:
        for worker in workers.values():
            worker.stop()
    logs = [math.log(now / old) for now, old in zip(seen["now"], seen["before"], strict=True)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    half = _t(len(logs) - 1) * error
    return {
        "ratio": math.exp(mean),
        "low": math.exp(mean - half),
        "high": math.exp(mean + half),
        "ms_before": statistics.median(seen["before"]),
        "ms_now": statistics.median(seen["now"]),
        "rounds": rounds,
    }


def _t(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def main() -> None:
    """Measure, print, and with ``--write`` keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.threads)
        return
    if arguments.before is None:
        parser.error("name the other checkout")
    before = arguments.before.resolve()
    commit = subprocess.run(
        ["git", "-C", str(before), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, encoding="utf-8"
    )
    result: dict[str, object] = {"before": commit.stdout.strip()}
    for section in SECTIONS:
        result[section] = found = compare(before, section, arguments.rounds, arguments.threads)
        print(  # noqa: T201
            f"{section}: {found['ms_before']:.2f} ms before, {found['ms_now']:.2f} ms now; now ÷ before "
            f"{found['ratio']:.3f}, 95 % from {found['low']:.3f} to {found['high']:.3f} in {arguments.rounds} rounds"
        )
    if arguments.write:
        from machine import describe, save

        save("checkouts", result, describe(arguments.threads))


if __name__ == "__main__":
    main()
