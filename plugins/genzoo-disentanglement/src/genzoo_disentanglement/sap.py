"""Separated attribute predictability, in both definitions that the literature uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.gap import gap
from genzoo_disentanglement.options import SAPOptions
from genzoo_disentanglement.representation import Representation, points_of


class SAP(FactorMetric):
    """The gap between the two codes that predict a factor best, as ``linear_svm`` and as ``squared_correlation``.

    The two differ by a factor of several on the same codes, so neither goes without its name. See `svm_scores` and
    `correlation_scores`.
    """

    name = "sap"
    options: SAPOptions

    def described(self, images: int, origin: str) -> str:
        """See `FactorMetric.described`."""
        train, scored = points_of(images, self.options.train_points, self.options.eval_points)
        return (
            "linear_svm: accuracy of a linear SVM (C = 0.01, balanced) on one code, "
            f"{train} train and {scored} eval points; "
            f"squared_correlation: of code and factor index, on the train points; {origin}"
        )

    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """See `FactorMetric.score`."""
        train, evaluation = representation.two_parts(self.options.train_points, self.options.eval_points, random)
        return {
            "linear_svm": gap(svm_scores(train, evaluation)),
            "squared_correlation": gap(correlation_scores(train)),
        }


def svm_scores(train: Representation, evaluation: Representation) -> NDArray[Any]:
    """Accuracy on evaluation points of a linear SVM that predicts each factor from each code alone, ``[C, F]``.

    References:
        Kumar et al. 2018, section 3; C = 0.01 and balanced classes are those of Locatello et al. 2019.
    """
    scores = np.zeros((train.codes.shape[1], train.factors.shape[1]))
    for code in range(scores.shape[0]):
        for factor in range(scores.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced", dual=False, max_iter=5000)
            machine.fit(train.codes[:, [code]], train.factors[:, factor])
            scores[code, factor] = np.mean(
                machine.predict(evaluation.codes[:, [code]]) == evaluation.factors[:, factor]
            )
    return scores


def correlation_scores(representation: Representation) -> NDArray[Any]:
    r"""Squared correlation of each code and factor index, ``[C, F]``; 0 for a code of variance below 1e-12.

    .. math:: \frac{\mathrm{Cov}(z_c, v_f)^2}{\mathrm{Var}(z_c)\, \mathrm{Var}(v_f)}

    References:
        Kumar et al. 2018, section 3, for factors on a scale.
    """
    codes = representation.codes - representation.codes.mean(0)
    factors = representation.factors - representation.factors.mean(0)
    covariance = codes.T @ factors / len(codes)
    variance, spread = (codes**2).mean(0)[:, None], (factors**2).mean(0)[None, :]
    return np.where(variance > 1e-12, covariance**2 / (np.maximum(variance, 1e-12) * spread), 0.0)
