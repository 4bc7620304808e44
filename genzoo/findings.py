"""What a trained model is judged by, and what is found: plain numbers and words. Imports no torch.

Core measures an `Evidence` once a run has ended, draws its own conclusions, and asks the model, loss, prior and
likelihood for theirs (their ``diagnose``). Nothing here changes when latents are rescaled or a constant is added to the
log-likelihood: latents are judged by what their decoder loses without them, distortion by that of the best image that
does not depend on the input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LEAST_USE = 0.1
"""Latents whose loss costs the decoder fewer nats per image than this are not in use."""

LEAST_RATE = 0.1
"""A level with a rate below this many nats per image carries nothing."""

LEAST_PERPLEXITY = 1.1
"""Codes of a perplexity below this are one code, all but."""

LEAST_SCALE = 0.5
"""Images that differ by fewer nats than this under a likelihood leave the latents nothing to say."""

WEAK_GAIN = 0.05
"""A gain below this part of what could be gained at most is hardly any."""

DEAD_CODES = 0.5
"""A codebook of which more than this part never occurs has mostly dead codes."""

IDLE_CODES = 0.1
"""A perplexity below this part of the number of codes says that most of them do nothing."""

OVERFIT_SHARE = 0.25
"""A model is over-fitted if more than this part of its gain on training images is missing on test images."""

EARLY_STEPS, EARLY_EPOCHS = 400, 10
"""A run of fewer steps and fewer epochs than these is a quick look, whose latents may not be in use yet."""

FEW_STEPS = 200
"""A run of fewer steps than this is a quick look however many epochs it has."""

NOISE = 2.0
"""Images whose leading direction varies less than this many times as much as the average one share no structure."""

NOTHING_LEFT = 0.05
"""Where a decoder that does without its latents is nearer to a perfect one than this part of what could be gained at most,
there is nothing left for them to say."""

Severity = Literal["good", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found about a trained model.

    Args:
        severity: ``"good"``: as it should be; ``"note"``: worth knowing; ``"fault"``: the model does not do what it is for.
        text: One sentence or a few, with the numbers that it rests on; empty where the remedy says it all.
        remedy: What to try, as a phrase that follows "Try", with the flag to write; empty where there is nothing to mend.

    Example:
        >>> Finding("fault", "The rate is weighted by 100.", "a lower --loss.beta").remedy
        'a lower --loss.beta'
    """

    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Margin:
    """A mean over images and its standard error, infinite for a single image."""

    mean: float
    error: float


@dataclass(frozen=True)
class LevelUse:
    """What one level of latents does.

    Args:
        size: Latent units, or places that hold a code.
        rate: Mean rate in nats per image.
        in_use: How many units vary with the image: the variance of the posterior mean is more than 1 % of the unit's
            variance over the aggregate posterior. None for codes and for posteriors without a mean.
        active: The published count: variance of the posterior mean above 0.01 (Burda et al. 2016). It changes when the
            latents are rescaled.
        codes: Number of codes, K; None for real-valued latents.
        used: How many of them occur.
        entropy: Of the frequencies of codes, in nats per code; its exponential is their perplexity.
        images: How many images this was measured on.
    """

    size: int
    rate: float = 0.0
    in_use: int | None = None
    active: int | None = None
    codes: int | None = None
    used: int = 0
    entropy: float = 0.0
    images: int = 0

    @property
    def perplexity(self) -> float:
        """The number of codes that, equally frequent, would have the same entropy."""
        return math.exp(self.entropy)

    @property
    def varies(self) -> bool:
        """Whether the posterior depends on the image; True where that is not known."""
        if self.codes is not None:
            return self.used > 1 and self.perplexity >= LEAST_PERPLEXITY
        return self.in_use is None or self.in_use > 0

    @property
    def idle(self) -> bool:
        """Whether most codes of a codebook never occur, or hardly ever."""
        if self.codes is None:
            return False
        seen_often_enough = self.images * self.size >= 4 * self.codes
        unused = seen_often_enough and self.codes - self.used > DEAD_CODES * self.codes
        return unused or self.perplexity < IDLE_CODES * self.codes

    @property
    def dead(self) -> bool:
        """Whether the level carries nothing: no rate to speak of, or the same posterior for every image."""
        return self.rate < LEAST_RATE or not self.varies


@dataclass(frozen=True)
class Evidence:
    """What was measured of a trained model, on test images unless said. What could not be measured is None.

    Args:
        distortion, rate: Nats per image.
        levels: What each level of latents does, top first.
        pixels: Scalar values per image.
        images: How many test images the comparisons are made on, at random.
        steps, epochs: How long the model was trained.
        baseline: Distortion, under the same likelihood, of the best image that is the same for every input. It is fitted
            on training images.
        floor: The least distortion that any output has of these images, such as the entropy of grey pixels under a
            Bernoulli.
        train_baseline: The same of training images, and ``train_spread`` its standard deviation over them; None where
            the model is judged on training images.
        spread: Standard deviation of the baseline's distortion over images.
        alike: Whether all images are the same.
        leading: How many times as much test images vary along the training images' leading principal direction as along
            an average one; None for few images or pixels.
        gain: Baseline minus distortion, paired over images.
        train_gain: The same on training images.
        use: By how many nats the distortion rises when each image is decoded from the latents of another.
        train_use: The same on training images.
        label_use: By how many nats the distortion rises when each image is decoded with a wrong label.
        squared_error: Mean over images and pixels of (x − mean of p(x|z))².
        trend: By how many nats the elbo rose per epoch at the end of training.
        quantities: Values of the scheduled quantities at the end.
        settled: Name of a scheduled quantity → number of epochs after which its schedule is constant.
    """

    distortion: float
    rate: float
    levels: tuple[LevelUse, ...] = ()
    pixels: int = 1
    images: int = 0
    steps: int | None = None
    epochs: int | None = None
    baseline: float | None = None
    floor: float | None = None
    spread: float = 0.0
    train_baseline: float | None = None
    train_spread: float = 0.0
    alike: bool = False
    leading: float | None = None
    gain: Margin | None = None
    train_gain: Margin | None = None
    use: Margin | None = None
    train_use: Margin | None = None
    label_use: Margin | None = None
    squared_error: float | None = None
    trend: float | None = None
    quantities: Mapping[str, float] = field(default_factory=dict[str, float])
    settled: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def early(self) -> bool:
        """Whether this was a quick look: too few steps to tell whether the latents will be used."""
        steps = self.steps or math.inf
        return steps < FEW_STEPS or (steps < EARLY_STEPS and (self.epochs or 1) < EARLY_EPOCHS)

    @property
    def scale(self) -> float:
        """The gain that a perfect decoder would have, in nats per image.

        Where no least distortion is known, four times the spread stands for it, as it does for digits under a Bernoulli.
        """
        if self.baseline is not None and self.floor is not None:
            return max(0.0, self.baseline - self.floor)
        return 4 * self.spread

    @property
    def flat(self) -> bool:
        """Whether images hardly differ under the likelihood, so that no weight of the rate brings the latents into use."""
        return self.baseline is not None and self.scale < LEAST_SCALE

    @property
    def used(self) -> bool:
        """Whether the decoder needs the latents of the very image: what it draws without them costs nats."""
        known = [use for use in (self.use, self.train_use) if use is not None]
        if known:
            return any(use.mean > LEAST_USE and use.mean > 2 * _finite(use.error) for use in known)
        return self.rate >= LEAST_RATE and any(level.varies for level in self.levels)

    @property
    def noise(self) -> bool:
        """Whether the latents are not in use and the images share nothing that they could say."""
        return not self.used and self.leading is not None and self.leading < NOISE

    @property
    def shifted(self) -> bool:
        """Whether the test images are of another kind: on average they are farther from the best constant image of the
        training set than nearly all training images are."""
        if self.baseline is None or self.train_baseline is None or self.images < 20:
            return False
        return self.baseline - self.train_baseline > max(LEAST_SCALE, 2 * self.train_spread)

    @property
    def sated(self) -> bool:
        """Whether the decoder does without its latents and is all but perfect, since the label says everything."""
        if self.used or self.flat or self.label_use is None or self.floor is None or self.gain is None:
            return False
        return self.gain.mean > (1 - NOTHING_LEFT) * self.scale

    @property
    def wasteful(self) -> bool:
        """Whether the latents are used, and distortion and rate together exceed the distortion of a constant image."""
        known = self.baseline is not None and self.used and not self.worse_than_constant
        return known and self.distortion + self.rate > (self.baseline or 0.0)

    @property
    def worse_than_constant(self) -> bool:
        """Whether the distortion lies above that of the best constant image by more than chance and rounding."""
        if self.gain is None:
            return False
        # A decoder without latents may lie above its best by what it has not finished learning.
        share = WEAK_GAIN if self.used else 2 * WEAK_GAIN
        return self.gain.mean < -max(1.0, 3 * _finite(self.gain.error), share * self.scale)

    @property
    def weak(self) -> bool:
        """Whether the latents are used and yet the distortion lies hardly below that of the best constant image."""
        return self.used and self.gain is not None and self.gain.mean < WEAK_GAIN * self.scale

    @property
    def overfitted(self) -> bool:
        """Whether much of the gain on training images is missing on test images, beyond three standard errors."""
        if self.gain is None or self.train_gain is None or self.train_gain.mean <= WEAK_GAIN * self.scale:
            return False
        missing = self.train_gain.mean - self.gain.mean
        error = math.hypot(self.gain.error, self.train_gain.error)
        return missing > OVERFIT_SHARE * self.train_gain.mean and missing > 3 * error

    @property
    def starved(self) -> bool:
        """Whether the model makes too little of its latents, or of some level of them, and had the time to."""
        if self.early or self.alike or self.shifted or self.noise or self.worse_than_constant or self.sated:
            return False
        dead = len(self.levels) > 1 and any(level.dead for level in self.levels)
        return not self.used or dead or (self.weak and not self.overfitted)


def _finite(error: float) -> float:
    """An error that is not known stands in no one's way."""
    return error if math.isfinite(error) else 0.0
