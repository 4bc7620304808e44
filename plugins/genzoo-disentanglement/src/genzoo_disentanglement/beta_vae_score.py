"""The β-VAE score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from genzoo.errors import UsageError
from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.options import BetaVAEScoreOptions
from genzoo_disentanglement.representation import Representation, Siblings

_CHUNK = 500


class BetaVAEScore(FactorMetric):
    """How often a linear classifier names the factor that pairs of images share. See `beta_vae_score`."""

    name = "beta-vae"
    options: BetaVAEScoreOptions

    def described(self, images: int, origin: str) -> str:
        """See `FactorMetric.described`."""
        options = self.options
        return (
            f"mean |Δz| of {options.pairs} pairs, logistic regression, {options.train_points} train and "
            f"{options.eval_points} eval points, pairs drawn from {origin}"
        )

    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """See `FactorMetric.score`."""
        train, evaluated = beta_vae_score(
            representation,
            random,
            train_points=self.options.train_points,
            eval_points=self.options.eval_points,
            pairs=self.options.pairs,
        )
        return {"": evaluated, "train": train}


def beta_vae_score(
    representation: Representation,
    random: np.random.Generator,
    *,
    train_points: int = 10_000,
    eval_points: int = 5_000,
    pairs: int = 64,
) -> tuple[float, float]:
    r"""Accuracy of naming the shared factor from the mean of :math:`|z - z'|` over pairs of images.

    A point: a factor is drawn, then pairs of different images that share its value; a pair's value is its own.

    Args:
        representation: Codes and factors of the images to draw from.
        random: Draws factors and pairs.
        train_points, eval_points: Points to fit logistic regression on, and to score on.
        pairs: Pairs that make one point.

    Returns:
        Train and eval accuracy, in [0, 1]; 1 / F by chance.

    Raises:
        UsageError: If fewer than two factors vary.

    References:
        Higgins et al. 2017, section 3; the protocol is that of Locatello et al. 2019, appendix.

    Differs from the paper:
        Pairs come from a finite sample of the grid, and the regression may take 5000 iterations to converge.
    """
    if representation.factors.shape[1] < 2:
        raise UsageError("beta-vae-score: at least two factors must vary, got one.")
    siblings = Siblings(representation.factors)
    train = _points(representation, siblings, random, train_points, pairs)
    evaluation = _points(representation, siblings, random, eval_points, pairs)
    if len(np.unique(train[1])) < 2:
        raise UsageError(f"beta-vae-score: train_points must show two factors, got {train_points} of one.")
    classifier = LogisticRegression(max_iter=5000).fit(*train)
    return float(classifier.score(*train)), float(classifier.score(*evaluation))


def _points(
    representation: Representation, siblings: Siblings, random: np.random.Generator, points: int, pairs: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    codes, factors = representation.codes, representation.factors
    shared = random.integers(factors.shape[1], size=points)
    features: list[NDArray[Any]] = []
    for start in range(0, points, _CHUNK):
        factor = np.repeat(shared[start : start + _CHUNK, None], pairs, axis=1)
        one = random.integers(len(codes), size=factor.shape)
        two = siblings.other(one, factor, random)
        features.append(np.abs(codes[one] - codes[two]).mean(1))
    return np.concatenate(features), shared
