"""Disentanglement, completeness and informativeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.options import DCIOptions
from genzoo_disentanglement.representation import Representation, points_of

_FLOOR = 1e-11


class DCI(FactorMetric):
    """Disentanglement, completeness and informativeness of the codes. See `disentanglement` and `completeness`."""

    name = "dci"
    options: DCIOptions

    def described(self, images: int, origin: str) -> str:
        """See `FactorMetric.described`."""
        options = self.options
        train, scored = points_of(images, options.train_points, options.eval_points)
        return (
            f"importances of one {options.classifier} classifier a factor ({options.trees} stages), "
            f"{train} train and {scored} eval points, {origin}"
        )

    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """See `FactorMetric.score`."""
        train, evaluation = representation.two_parts(self.options.train_points, self.options.eval_points, random)
        importance, fitted, informed = importances(
            train, evaluation, classifier=self.options.classifier, trees=self.options.trees, random=random
        )
        return {
            "disentanglement": disentanglement(importance),
            "completeness": completeness(importance),
            "informativeness": informed,
            "informativeness_train": fitted,
        }


def importances(
    train: Representation,
    evaluation: Representation,
    *,
    classifier: Literal["gradient-boosting", "random-forest"] = "gradient-boosting",
    trees: int = 100,
    random: np.random.Generator,
) -> tuple[NDArray[Any], float, float]:
    """What each code is worth to a classifier of each factor.

    Args:
        train: Codes and factors to fit on.
        evaluation: To score on.
        classifier: Whose importances.
        trees: Boosting stages, or trees.
        random: Seeds the classifiers.

    Returns:
        Importances ``[C, F]``, at least 0; and the mean accuracy over factors in training and evaluation.
    """
    columns: list[NDArray[Any]] = []
    fitted: list[float] = []
    informed: list[float] = []
    for factor in range(train.factors.shape[1]):
        seed = int(random.integers(2**31))
        kind = GradientBoostingClassifier if classifier == "gradient-boosting" else RandomForestClassifier
        model = kind(n_estimators=trees, random_state=seed).fit(train.codes, train.factors[:, factor])
        columns.append(np.abs(model.feature_importances_))
        fitted.append(float(np.mean(model.predict(train.codes) == train.factors[:, factor])))
        informed.append(float(np.mean(model.predict(evaluation.codes) == evaluation.factors[:, factor])))
    return np.stack(columns, axis=1), float(np.mean(fitted)), float(np.mean(informed))


def disentanglement(importance: NDArray[Any]) -> float:
    r"""How far each code serves one factor alone: :math:`\sum_c \rho_c\, (1 - H_F(p_c))`.

    :math:`p_c` is code c's share of importance by factor, H its entropy in base F and :math:`\rho_c` the code's share of
    all importance.

    Args:
        importance: ``[C, F]``, at least 0.

    Returns:
        In [0, 1]; 0 where all importances are 0.

    Example:
        >>> round(disentanglement(np.eye(3)), 6)
        1.0

    References:
        Eastwood and Williams 2018, section 2; the floor of 1e-11 and the classifier are those of Locatello et al. 2019.
    """
    return _weighted(importance)


def completeness(importance: NDArray[Any]) -> float:
    """How far each factor is served by one code alone; as `disentanglement`, codes and factors exchanged."""
    return _weighted(importance.T)


def _weighted(importance: NDArray[Any]) -> float:
    """One minus the entropy of each row in base of the number of columns, weighted by the rows' shares."""
    if not importance.any():
        return 0.0
    if importance.shape[1] == 1:
        return 1.0
    shares = importance + _FLOOR
    shares = shares / shares.sum(1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(1) / np.log(importance.shape[1])
    return float(np.clip(((1 - entropy) * importance.sum(1)).sum() / importance.sum(), 0, 1))
