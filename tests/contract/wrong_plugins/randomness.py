"""Plugins that are careless with randomness, or declare companions that nobody can read."""

from __future__ import annotations

import os
import random

import torch

from genzoo.testing.reference import PlainLoss, PlainModel
from wrong_plugins.ledger import wrong


@wrong("same-seed-same-result", also=("training-and-evaluation-agree", "named-terms-are-measured"))
class RollsDice(PlainLoss):
    """It draws a weight from the system's entropy when it is built."""

    def __init__(self, options: object) -> None:
        super().__init__(options)
        self.weight = 1 + int.from_bytes(os.urandom(4), "big") / 2**34

    def terms(self, *args):
        return {name: self.weight * value for name, value in super().terms(*args).items()}


@wrong("global-random-state-kept", defect="global RNG reseeded, default dtype or backend changed at import")
class ReseedsPythonInUse(PlainLoss):
    """It seeds Python's generator at each call."""

    def terms(self, *args):
        random.seed(0)
        return super().terms(*args)


@wrong(
    "global-random-state-kept",
    also=("stochasticity-as-declared", "sample-repeats-under-seed"),
    defect="global RNG reseeded, default dtype or backend changed at import",
)
class ReseedsTorchInUse(PlainModel):
    """It seeds torch's generator at each call, so that all noise is the same."""

    def encode(self, batch, *, samples=1, context=None):
        torch.manual_seed(0)
        return super().encode(batch, samples=samples, context=context)


@wrong("companions-installed", companions={"loss": "a-loss-that-nobody-has"})
class WantsWhatIsNotThere(PlainModel):
    """Its companion is not installed."""


@wrong("companions-declared-well", companions={"loss": ("elbo", {"beta": {1, 2}})})
class HasOddCompanions(PlainModel):
    """Its companion has options that JSON cannot hold."""
