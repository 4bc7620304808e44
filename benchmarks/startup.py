"""How long the command line takes to start, and the plugins' declaration modules to import.

    python benchmarks/startup.py [--repeats 15] [--json] [--write]

Prints the best and the median of each command in a fresh process, the ratio of ``genzoo --help`` to
``python -c 'import click'`` (bar: 1.5), each declaration module's own import (bar: 50 ms), and how long it takes, once
all is imported, to read MNIST, build the report's VAE and be ready for the first step (bar: 1 s). Then ``genzoo runs
list`` of 5000 runs, for the first time and again (bar: 0.5 s). Exit 1 past a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, save

HELP_BAR = 1.5
DECLARATION_BAR = 0.05
READY_BAR = 1.0
LIST_BAR = 0.5
RUNS = 5000

COMMANDS = {
    "import click": ["-c", "import click"],
    "genzoo --help": ["-m", "genzoo", "--help"],
    "genzoo list": ["-m", "genzoo", "list"],
    "genzoo info vae": ["-m", "genzoo", "info", "vae"],
}
DECLARATIONS = """
import json
from genzoo.host.plugin_host import host
print(json.dumps({plugin.distribution: plugin.seconds for plugin in host().plugins}))
"""
READY = """
import sys, time
sys.path.insert(0, sys.argv[1])
from contenders import experiment
from genzoo.engine.listener import Listener
import torchvision
from genzoo.engine.train import Trainer
network = {"name": "conv", "options": {}}
experiment(network, 2, 128, "auto")  # imports the plugins
start = time.perf_counter()
made = experiment(network, 2, 128, "auto")
trainer = Trainer(made, Listener(), {name: made.dataset.split(name) for name in ("train", "test")})
trainer.initialise()
print(time.perf_counter() - start)
"""


def listing() -> tuple[float, float]:
    """Seconds of ``genzoo runs list`` of many runs: the first time, and the best of three later ones."""
    import genzoo

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "runs")
        made = genzoo.run(
            "vae", data="digits", network="mlp", epochs=1, limit=32, out=Path(folder), progress=False
        ).path
        recipe = (made / "config.toml").read_text(encoding="utf-8")
        for number in range(RUNS):
            run = root / "vae" / f"20260101T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}Z-{number:06x}"
            run.mkdir(parents=True)
            (run / "config.toml").write_text(recipe.replace("seed = 0", f"seed = {number}"), encoding="utf-8")
            for name in ("run.json", "metrics.jsonl"):
                shutil.copy(made / name, run / name)
        taken: list[float] = []
        settings = {**os.environ, "GENZOO_DATA": str(Path(folder, "cache"))}
        for _ in range(4):
            start = time.perf_counter()
            command = [sys.executable, "-m", "genzoo", "runs", "list", "--out", str(root)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=settings)
            taken.append(time.perf_counter() - start)
    return taken[0], min(taken[1:])


def main() -> int:
    """Measures, prints and judges."""
    parser = argparse.ArgumentParser(description="Measure start-up times.")
    parser.add_argument("--repeats", type=int, default=15, help="fresh processes a command")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="keep the numbers in benchmarks/results.json")
    arguments = parser.parse_args()

    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.repeats):  # interleaved, so that a busy moment hits all alike
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - start)
    declarations: dict[str, float] = {}
    for _ in range(3):
        output = subprocess.run(
            [sys.executable, "-c", DECLARATIONS], capture_output=True, text=True, check=True, encoding="utf-8"
        ).stdout
        for name, taken in json.loads(output).items():
            declarations[name] = min(taken, declarations.get(name, taken))

    here = str(Path(__file__).parent)
    ready = min(
        float(
            subprocess.run(
                [sys.executable, "-c", READY, here], capture_output=True, text=True, check=True, encoding="utf-8"
            ).stdout
        )
        for _ in range(3)
    )

    first, again = listing()
    ratio = min(seconds["genzoo --help"]) / min(seconds["import click"])
    slowest = max(declarations, key=declarations.__getitem__, default="")
    passed = (
        ratio <= HELP_BAR
        and ready <= READY_BAR
        and again <= LIST_BAR
        and all(taken <= DECLARATION_BAR for taken in declarations.values())
    )
    best = {name: min(values) for name, values in seconds.items()}
    result = {"best": best, "ratio": ratio, "ready": ready, "declarations": declarations, "passed": passed}
    result["runs list"] = {"runs": RUNS, "first": first, "again": again}
    if arguments.write:
        save("startup", result, describe(os.cpu_count() or 1))
    if arguments.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return int(not passed)
    for name, values in seconds.items():
        sys.stdout.write(
            f"{name:<20}best {1000 * min(values):6.1f} ms   median {1000 * statistics.median(values):6.1f}\n"
        )
    sys.stdout.write(f"genzoo --help takes {ratio:.2f} times `import click` (bar {HELP_BAR}).\n")
    if slowest:
        sys.stdout.write(
            f"The slowest of {len(declarations)} declarations, {slowest}, takes {1000 * declarations[slowest]:.1f} ms "
            f"(bar {1000 * DECLARATION_BAR:.0f}).\n"
        )
    sys.stdout.write(f"Reading MNIST and making ready for the first step takes {ready:.2f} s (bar {READY_BAR:.0f}).\n")
    sys.stdout.write(f"Listing {RUNS} runs takes {first:.2f} s, and {again:.2f} s again (bar {LIST_BAR}).\n")
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
