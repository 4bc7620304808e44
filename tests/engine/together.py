"""What `test_distributed` starts under torchrun: runs one after another, with notes of what each process came to.

Its arguments: a folder for runs and notes, and ``several`` or ``forever``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from genzoo.cli import execute
from genzoo.distributions import DiagonalNormal
from genzoo.engine.train import Trainer
from genzoo.engine.workers import SharedSignals, joined

sys.path.insert(0, str(Path(__file__).parent))

from together_options import AFTER, FACTOR, GAN, TWO, VAE, VQ

RANK = int(os.environ["RANK"])
notes: dict[str, Any] = {"pid": os.getpid(), "codes": {}, "weights": {}, "steps": {}}


def without_noise() -> Any:
    """Make every posterior's sample its mean; returns what it was."""
    genuine = DiagonalNormal.rsample
    DiagonalNormal.rsample = lambda self, shape=(): self.mean.expand(*shape, *self.mean.shape)  # type: ignore[method-assign]
    return genuine


def note_trainers(current: dict[str, str]) -> None:
    """Note the step and a digest of the weights with which every training ends."""
    genuine = Trainer.fit

    def fit(self: Trainer, signals: Any) -> None:
        try:
            genuine(self, signals)
        finally:
            digest = hashlib.sha256()
            for tensor in (*self.model.state_dict().values(), *self.loss.state_dict().values()):
                digest.update(tensor.contiguous().numpy().tobytes())
            notes["weights"][current["run"]] = digest.hexdigest()
            notes["steps"][current["run"]] = self.total_steps_taken

    Trainer.fit = fit  # type: ignore[method-assign]


def signal_at(poll: int) -> Any:
    """Send this process a SIGTERM at its n-th poll; returns what polled before."""
    genuine = SharedSignals.poll
    left = [poll]

    def polls(self: SharedSignals) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        genuine(self)

    SharedSignals.poll = polls  # type: ignore[method-assign]
    return genuine


def sums() -> dict[str, Any]:
    """What two processes make of their gradients 1 and 2, alike and with one of them at weight 0, and not finite."""
    with joined() as workers:
        gradient, spoilt = torch.full((2, 3), 1.0 + RANK), torch.full((2,), float("nan") if RANK else 5.0)
        values = workers.sum([gradient], torch.tensor([10.0 * (1 + RANK)]), 0.75 if RANK == 0 else 0.25)
        rest = workers.sum([spoilt], torch.tensor([float("inf") if RANK else 4.0]), 1.0 if RANK == 0 else 0.0)
        found = [gradient.tolist(), values.tolist(), spoilt.tolist(), rest.tolist()]
        return {"sums": found, "gathered": workers.gather(RANK), "told": workers.tell(f"of {RANK}")}


def several(root: Path) -> None:
    current = {"run": ""}
    note_trainers(current)

    def go(name: str, *arguments: str) -> None:
        current["run"] = name
        notes["codes"][name] = execute(list(arguments))

    notes.update(sums())
    genuine = without_noise()
    go("curve", *VAE, *TWO, "--viz", "samples", "--out", str(root / "curve"))
    go("factor", *VAE, *TWO, *FACTOR, "--out", str(root / "factor"))
    DiagonalNormal.rsample = genuine  # type: ignore[method-assign]
    go("vq", *VQ, "--out", str(root / "vq"))
    go("tc", *VAE, "--epochs", "1", "--loss", "beta-tc", "--out", str(root / "tc"))
    for name, poll, arguments in (("", 9, VAE), ("gan-", 9, GAN), ("after-", 16, [*VAE, *AFTER])):
        go(f"{name}whole", *arguments, *TWO, "--out", str(root / f"{name}whole"))
        polled = signal_at(poll) if RANK == 1 else SharedSignals.poll
        go(f"{name}stopped", *arguments, *TWO, "--out", str(root / f"{name}stopped"))
        SharedSignals.poll = polled  # type: ignore[method-assign]
        with joined() as workers:
            workers.wait()
        (run,) = (root / f"{name}stopped").glob("*/*")
        go(f"{name}resumed", "run", "--resume", str(run))


def main() -> None:
    root = Path(sys.argv[1])
    note = root / f"notes-{RANK}.json"
    if sys.argv[2] == "forever":
        note.write_text(json.dumps(notes), encoding="utf-8")
        sys.exit(execute([*VAE, "--out", str(root / "forever"), "--epochs", "100000"]))
    several(root)
    note.write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    main()
