"""The FactorVAE score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genzoo.errors import UsageError
from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.options import FactorVAEScoreOptions
from genzoo_disentanglement.representation import Representation, Siblings

_CHUNK = 500


class FactorVAEScore(FactorMetric):
    """How often the code that varies least names the factor held fixed. See `factor_vae_score`."""

    name = "factor-vae"
    units = {"active_codes": "codes"}  # noqa: RUF012
    options: FactorVAEScoreOptions

    def described(self, images: int, origin: str) -> str:
        """See `FactorMetric.described`."""
        options = self.options
        return (
            f"least normalised variance in {options.batch} images, majority vote, {options.train_points} train and "
            f"{options.eval_points} eval points, codes of std < {options.prune:g} over "
            f"{min(options.variance_points, images)} images "
            f"left out, {origin}"
        )

    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """See `FactorMetric.score`."""
        options = self.options
        found = factor_vae_score(
            representation,
            random,
            train_points=options.train_points,
            eval_points=options.eval_points,
            batch=options.batch,
            variance_points=options.variance_points,
            prune=options.prune,
        )
        return {"": found[1], "train": found[0], "active_codes": float(found[2])}


def factor_vae_score(
    representation: Representation,
    random: np.random.Generator,
    *,
    train_points: int = 10_000,
    eval_points: int = 5_000,
    batch: int = 64,
    variance_points: int = 10_000,
    prune: float = 0.05,
) -> tuple[float, float, int]:
    """Accuracy of naming the fixed factor by majority vote of the code with the least normalised variance.

    A point: a factor and a value of it are drawn, then a batch of images with that value; its vote is the code whose
    variance in the batch, divided by its variance over all images (both with ddof 1), is least.

    Args:
        representation: Codes and factors of the images to draw from.
        random: Draws factors, values and images.
        train_points, eval_points: Points to count votes on, and to score on.
        batch: Images that make one point.
        variance_points: Images to measure the variance of a code on.
        prune: Codes with a smaller standard deviation take no part.

    Returns:
        Train and eval accuracy, in [0, 1], both 0 where no code is left; and the number of codes left.

    Raises:
        UsageError: If fewer than two factors vary.

    References:
        Kim and Mnih 2018, section 4; the protocol is that of Locatello et al. 2019, appendix.
    """
    codes, factors = representation.codes, representation.factors
    if factors.shape[1] < 2:
        raise UsageError("factor-vae-score: at least two factors must vary, got one.")
    rows = random.permutation(len(codes))[:variance_points]
    variance = codes[rows].var(0, ddof=1)
    active = np.flatnonzero(np.sqrt(variance) >= prune)
    if not len(active):
        return 0.0, 0.0, 0
    left, scale = codes[:, active], variance[active]
    siblings = Siblings(factors)
    votes = np.zeros((factors.shape[1], len(active)), dtype=np.int64)
    np.add.at(votes, _votes(left, scale, factors.shape[1], siblings, random, train_points, batch), 1)
    named = votes.argmax(0)
    factor, code = _votes(left, scale, factors.shape[1], siblings, random, eval_points, batch)
    return float(votes.max(0).sum() / train_points), float((named[code] == factor).mean()), len(active)


def _votes(
    codes: NDArray[Any],
    variance: NDArray[Any],
    factors: int,
    siblings: Siblings,
    random: np.random.Generator,
    points: int,
    batch: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The fixed factor and the least varying code of each point."""
    fixed = random.integers(factors, size=points)
    seen = random.integers(len(codes), size=points)
    least: list[NDArray[np.int64]] = []
    for start in range(0, points, _CHUNK):
        factor = np.repeat(fixed[start : start + _CHUNK, None], batch, axis=1)
        image = np.repeat(seen[start : start + _CHUNK, None], batch, axis=1)
        drawn = codes[siblings.any(image, factor, random)]
        least.append((drawn.var(1, ddof=1) / variance).argmin(1))
    return fixed, np.concatenate(least)
