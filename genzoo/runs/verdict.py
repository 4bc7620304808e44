"""What a run came to, in plain words. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLLAPSED_RATE = 0.1
"""A rate below this many nats an image says that the latents carry nothing."""

ACTIVE_VARIANCE = 0.01
"""A latent unit is active if the variance over images of its posterior mean is above this (Burda et al. 2016)."""


def verdict(row: Mapping[str, Any], active_units: int | None, latent_dim: int | None, *, report_setup: bool) -> str:
    """One or two sentences on the last epoch: healthy, collapsed and what to try, or underfit.

    Args:
        row: The last epoch's row.
        active_units: How many latent units are active, None where that says nothing.
        latent_dim: How many there are.
        report_setup: Whether this is the report's own set-up, for which its range of D/R may be quoted.
    """
    numbers = row.get("test") or row["train"]
    rate, distortion = numbers["rate"], numbers["distortion"]
    if rate < COLLAPSED_RATE or active_units == 0:
        units = "" if active_units is None else f", {active_units} of {latent_dim} latent units active"
        return (
            f"The posterior has collapsed: the rate is {rate:.3f} nats{units}, so the model ignores its latents. "
            "Try a lower --loss.beta, a longer warm-up (--scheduler linear-warmup --scheduler.epochs 20), "
            "or free bits (--loss.free-bits 0.5)."
        )
    text = f"The latents are in use: the rate is {rate:.2f} nats an image"
    if active_units is not None:
        text += f", {active_units} of {latent_dim} latent units active"
    text += f"; distortion {distortion:.2f}, elbo {numbers['elbo']:.2f}."
    if report_setup and rate > 0:
        ratio = distortion / rate
        place = "within" if 10 <= ratio <= 50 else "outside"
        text += f" Distortion is {ratio:.1f} times the rate, {place} the 10 to 50 that the report calls healthy."
    return text
