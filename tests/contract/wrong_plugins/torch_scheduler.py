"""A scheduler that imports torch."""

from __future__ import annotations

import torch

from genzoo.interfaces.scheduler import Progress
from wrong_plugins.ledger import wrong
from wrong_plugins.right import Ramp


@wrong("torch-free")
class RampInTorch(Ramp):
    """It computes the minimum of two numbers with torch."""

    def factor(self, progress: Progress) -> float:
        return float(torch.tensor(progress.epochs_done / 3).clamp(max=1.0))
