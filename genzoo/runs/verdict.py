"""What a run came to, in plain words. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from genzoo.options import Options

COLLAPSED_RATE = 0.1
"""A rate below this many nats an image says that the latents carry nothing."""

EARLY_STEPS = 400
"""After fewer steps than this, less than one epoch of MNIST, the latents may not be in use yet."""

ACTIVE_VARIANCE = 0.01
"""A latent unit is active if the variance over images of its posterior mean is above this (Burda et al. 2016)."""


def verdict(
    row: Mapping[str, Any],
    active_units: int | None,
    latent_dim: int | None,
    *,
    remedies: Sequence[str],
    report_setup: bool,
) -> str:
    """One or two sentences on the last epoch: healthy, collapsed and what to try, or underfit.

    Args:
        row: The last epoch's row.
        active_units: How many latent units are active, None where that says nothing.
        latent_dim: How many there are.
        remedies: What to try against a collapse; see `remedies_of`.
        report_setup: Whether this is the report's own set-up, for which its range of D/R may be quoted.
    """
    numbers = row.get("test") or row["train"]
    rate, distortion = numbers["rate"], numbers["distortion"]
    if rate < COLLAPSED_RATE or active_units == 0:
        units = "" if active_units is None else f", {active_units} of {latent_dim} latent units active"
        steps = row.get("step", EARLY_STEPS)
        if steps < EARLY_STEPS:
            return (
                f"The latents are not in use yet: the rate is {rate:.3f} nats{units}. "
                f"{steps} steps are too few to tell whether the posterior has collapsed; train longer."
            )
        return (
            f"The posterior has collapsed: the rate is {rate:.3f} nats{units}, so the model ignores its latents. "
            f"Try {_either(remedies)}."
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


def remedies_of(loss: Options, quantities: Collection[str], warm_up: float | None = None) -> list[str]:
    """What may be tried against a collapsed posterior, of what the run has.

    Args:
        loss: Options of the run's loss.
        quantities: Names of what a scheduler may drive in it.
        warm_up: Length of its warm-up in epochs, None where it has none.

    Example:
        >>> from genzoo.options import NoOptions
        >>> remedies_of(NoOptions(), {"beta"}, warm_up=15)
        ['a longer warm-up (--scheduler linear-warmup --scheduler.beta.epochs 30)']
    """
    found: list[str] = []
    if getattr(loss, "distortion_per", None) == "pixel":
        found.append("the distortion summed over the image (--loss.distortion-per image)")
    if "beta" in quantities:
        if getattr(loss, "beta", 0):
            found.append("a lower --loss.beta")
        epochs = max(20, 2 * (warm_up or 0))
        found.append(f"a longer warm-up (--scheduler linear-warmup --scheduler.beta.epochs {epochs:g})")
    if "capacity" in quantities:
        found.append("a higher --loss.capacity")
    elif hasattr(loss, "free_bits"):
        free = loss.free_bits  # pyright: ignore[reportAttributeAccessIssue]
        found.append(f"more free bits (--loss.free-bits {2 * free:g})" if free else "free bits (--loss.free-bits 0.5)")
    return found or ["more --epochs", "a loss with free bits (--loss elbo --loss.free-bits 0.5)"]


def _either(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)}{',' if len(first) > 1 else ''} or {last}" if first else last
