"""Digests of short seeded runs, to show that a change of the engine leaves every bit as it was.

Run it with the environment of each of two versions on one machine, and compare what it prints::

    python benchmarks/bits.py > before.json
    python benchmarks/bits.py > after.json

For each run it has the SHA-256 of the trained weights, of the rows of metrics.jsonl without their times, and of a figure.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

RUNS = {
    "vae": ["vae"],
    "cvae": ["cvae"],
    "mlp": ["vae", "--network", "mlp"],
    "vq-vae": [
        "vq-vae",
        "--prior",
        "autoregressive",
        "--prior.epochs",
        "1",
        "--prior.width",
        "16",
        "--prior.layers",
        "2",
    ],
    "ladder-vae": ["ladder-vae", "--network", "mlp"],
    "iwae": ["vae", "--loss", "iwae", "--network", "mlp"],
    "beta-tc": ["vae", "--loss", "beta-tc", "--network", "mlp"],
}
COMMON = shlex.split(
    "--limit 320 --epochs 3 --steps 50 --batch-size 16 --device cpu --precision fp32 --viz-every 0 --viz samples"
)
TIMES = ("seconds", "images_per_second")
KNOWN = ("kind", "epoch", "step", "quantities", "train", "test")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def main() -> None:
    """Run all, or those named on the command line."""
    from genzoo.cli import execute

    found: dict[str, dict[str, str]] = {}
    for name in sys.argv[1:] or RUNS:
        with tempfile.TemporaryDirectory() as out:
            with redirect_stdout(sys.stderr):
                code = execute(["run", *RUNS[name], *COMMON, "--out", out])
            folder = next(Path(out).glob("*/*/"))
            rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
            epochs = [{key: row[key] for key in KNOWN if key in row} for row in rows if row["kind"] == "epoch"]
            last = (folder / "checkpoints" / "LAST").read_text(encoding="utf-8").strip()
            found[name] = {
                "exit": str(code),
                "weights": digest((folder / "checkpoints" / last / "model.safetensors").read_bytes()),
                "rows": digest(json.dumps(epochs).encode()),
                "figure": digest((folder / "figures" / "samples.png").read_bytes()),
            }
    print(json.dumps(found, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
