"""What a run came to, in plain words. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genzoo.options import Options

COLLAPSED_RATE = 0.1
"""A rate below this many nats an image says that the latents carry nothing."""

COLLAPSED_PERPLEXITY = 1.1
"""Codes of a perplexity below this are one code, all but."""

IDLE_CODES = 0.1
"""A perplexity below this part of the number of codes says that most of them do nothing."""

EARLY_STEPS = 400
"""After fewer steps than this, less than one epoch of MNIST, the latents may not be in use yet."""

ACTIVE_VARIANCE = 0.01
"""A latent unit is active if the variance over images of its posterior mean is above this (Burda et al. 2016)."""


@dataclass(frozen=True)
class LevelUse:
    """What a level of latents does with some images.

    Args:
        size: Latent units, or places that hold a code.
        active: How many units vary with the image; None for codes.
        codes: Number of codes, K; None for real-valued latents.
        used: How many of them occur.
        entropy: Of the frequencies of codes, in nats a code; its exponential is their perplexity.
        images: How many images that was measured on.
        deterministic: Whether the posterior is a point, so that the rate is what the prior spends on the codes.
    """

    size: int
    active: int | None = None
    codes: int | None = None
    used: int = 0
    entropy: float = 0.0
    images: int = 0
    deterministic: bool = False

    @property
    def perplexity(self) -> float:
        return math.exp(self.entropy)


def verdict(
    row: Mapping[str, Any],
    levels: Sequence[LevelUse],
    *,
    remedies: Sequence[str],
    report_setup: bool,
) -> str:
    """A few sentences on the last epoch: healthy, collapsed or partly dead and what to try, or underfit.

    Args:
        row: The last epoch's row.
        levels: How each level of latents is used, top first; empty where that cannot be told.
        remedies: What to try against a collapse; see `remedies_of` and `codebook_remedies`.
        report_setup: Whether this is the report's own set-up, for which its range of D/R may be quoted.
    """
    numbers = row.get("test") or row["train"]
    early = row.get("step", EARLY_STEPS) < EARLY_STEPS
    too_few = f"{row.get('step')} steps are too few to tell whether" if early else ""
    if len(levels) == 1 and levels[0].codes is not None and levels[0].deterministic:
        return _of_codes(levels[0], levels[0].codes, numbers, too_few, remedies)
    rate, distortion = numbers["rate"], numbers["distortion"]
    counted = [level for level in levels if level.active is not None]
    active, size = sum(level.active or 0 for level in counted), sum(level.size for level in counted)
    units = f", {active} of {size} latent units active" if counted else ""
    if rate < COLLAPSED_RATE or (counted and len(counted) == len(levels) and not active):
        if too_few:
            return (
                f"The latents are not in use yet: the rate is {rate:z.3f} nats{units}. "
                f"{too_few} the posterior has collapsed; train longer."
            )
        return (
            f"The posterior has collapsed: the rate is {rate:z.3f} nats{units}, so the model ignores its latents. "
            f"Try {_either(remedies)}."
        )
    text = f"The latents are in use: the rate is {rate:.2f} nats an image{units}"
    text += f"; distortion {distortion:.2f}, elbo {numbers['elbo']:.2f}."
    if len(levels) > 1:
        text += _of_levels(levels, numbers["rates"], too_few, remedies)
    if report_setup and rate > 0:
        ratio = distortion / rate
        place = "within" if 10 <= ratio <= 50 else "outside"
        text += f" Distortion is {ratio:.1f} times the rate, {place} the 10 to 50 that the report calls healthy."
    return text


def _of_levels(levels: Sequence[LevelUse], rates: Sequence[float], too_few: str, remedies: Sequence[str]) -> str:
    """What each level does, top first, and which of them are dead."""
    parts: list[str] = []
    dead: list[str] = []
    for number, (level, rate) in enumerate(zip(levels, rates, strict=True), 1):
        name = f"level {number}" + (", the top" if number == 1 else "")
        does = f"{rate:z.2f} nats"
        if level.active is not None:
            does += f", {level.active} of {level.size} units"
        elif level.codes is not None:
            does += f", {level.used} of {level.codes} codes"
        parts.append(f"{name}: {does}")
        if rate < COLLAPSED_RATE or level.active == 0:
            dead.append(name + ("," if number == 1 else ""))
    text = f" {'; '.join(parts).capitalize()}."
    if not dead:
        return text
    which, is_are = " and ".join(dead), "is" if len(dead) == 1 else "are"
    which = which[0].upper() + which[1:]
    if too_few:
        return f"{text} {which} {is_are} not in use yet; {too_few} that lasts."
    return f"{text} {which} {is_are} dead: the model does without. Try {_either(remedies)}."


def _of_codes(level: LevelUse, codes: int, numbers: Mapping[str, Any], too_few: str, remedies: Sequence[str]) -> str:
    """A level of codes that the encoder picks: how many are in use, and what the prior spends on one."""
    use = f"{level.used} of {codes} codes occur in {level.images} images, perplexity {level.perplexity:.1f}"
    if level.used <= 1 or level.perplexity < COLLAPSED_PERPLEXITY:
        if too_few:
            return f"The codes are not in use yet: {use}. {too_few} the codebook has collapsed; train longer."
        return f"The codebook has collapsed: {use}, so the codes say nothing of the image. Try {_either(remedies)}."
    idle = level.perplexity < IDLE_CODES * codes
    text = (
        f"{'Most codes are idle' if idle else 'The codes are in use'}: {use}; distortion {numbers['distortion']:.2f}."
    )
    spent, even = numbers["rate"] / level.size, math.log(codes)
    if math.isclose(spent, even, rel_tol=1e-3):
        text += (
            f" The prior is uniform, {even:.2f} nats a code whatever the codes are, so the rate says nothing of them."
        )
    else:
        text += (
            f" The prior spends {spent:.2f} nats on each of an image's {level.size} codes, "
            f"where their own frequencies take {level.entropy:.2f}."
        )
    if idle:
        text += f" {too_few} they stay so." if too_few else f" Try {_either(remedies)}."
    return text


def codebook_remedies(model: Options) -> list[str]:
    """What may be tried against a codebook with few codes in use, of what the model has.

    Args:
        model: Its options.

    Example:
        >>> from genzoo.options import NoOptions
        >>> codebook_remedies(NoOptions())
        ['a lower --lr', 'more --epochs']
    """
    found: list[str] = []
    if getattr(model, "codebook", None) == "gradient":
        found.append("--model.codebook ema")
    revive: float | None = getattr(model, "revive_below", None)
    if revive is not None:
        found.append(f"--model.revive-below {min(0.5, 2 * revive) or 0.05:g}")
    codes: int | None = getattr(model, "codes", None)
    if codes is not None and codes > 2:
        found.append(f"fewer codes (--model.codes {codes // 2})")
    return [*found, "a lower --lr"] if found else ["a lower --lr", "more --epochs"]


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
